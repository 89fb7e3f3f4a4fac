/** Folders within a checkpoint that hold files of it: the extra chat templates of transformers. */
export const checkpointFolders = ['additional_chat_templates']

/** What belongs to a checkpoint. Weights only as safetensors. */
const wanted = [
  /^[^/]+\.safetensors$/,
  /^[^/]+\.json$/,
  /^[^/]+\.(?:jinja|model|tiktoken)$/,
  /^(?:merges|vocab|rwkv_vocab_v\d+)\.txt$/,
  /^additional_chat_templates\/[^/]+\.jinja$/,
  /^(?:README|LICENSE|LICENCE|NOTICE|USE_POLICY)(?:\.[a-z]+)?$/i,
]

/** The unsharded or older names under which some repositories hold the same weights a second time. */
const duplicates = [/^consolidated.*\.safetensors$/, /^consolidated.*\.json$/, /^params\.json$/]

/** Reports and indexes of other formats. */
const foreign = [/\.bin\.index\.json$/, /\.verify\.json$/, /\.(?:msgpack|h5)\.index\.json$/]

/**
 * Those of a repository's files that a conversion needs: configuration, tokenizer, chat template, safetensors with their index,
 * readme and licence. PyTorch, ONNX and other copies of the weights stay behind.
 * @param paths with "/" between folders.
 */
export function selectCheckpoint(paths: readonly string[]): string[] {
  const named = paths.some((path) => /^model.*\.safetensors$/.test(path))
  return paths.filter(
    (path) =>
      wanted.some((pattern) => pattern.test(path)) &&
      !foreign.some((pattern) => pattern.test(path)) &&
      !(named && duplicates.some((pattern) => pattern.test(path))),
  )
}
