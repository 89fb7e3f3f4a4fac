import { join } from 'node:path'
import koffi, { type LibraryHandle } from 'koffi'
import { MqError } from '../../errors/index.js'
import { isKnown, librariesIn } from '../libraries.js'
import { llamaVersion } from '../version.js'
import { type StructValue, structs } from './structs.js'

/** The address of something in llama.cpp's memory. */
export type Address = bigint

/** A function of a library, for this thread or, as `async`, for another. */
type Native<Call extends (...args: never[]) => unknown> = Call & {
  readonly async: (...args: [...Parameters<Call>, (error: Error | null, result: ReturnType<Call>) => void]) => void
}

const nativeStackBytes = 16 * 2 ** 20

/** The functions of llama.cpp that are called here, under their own names. Source: include/llama.h of v0.5.0. */
export type Llama = ReturnType<typeof bindLlama> & ReturnType<typeof bindDevices> & Ggml

/** Those of ggml. Source: ggml/include/ggml-backend.h of v0.5.0. */
export type Ggml = ReturnType<typeof bindGgml>

/**
 * Loads llama.cpp's libraries into this process, once, with the processor's best backend and those of GPUs that are there.
 * @param folder where the libraries lie, as found by `findLibraries`.
 * @throws MqError LLAMA_VERSION where the library is not the one whose structs are known here; LLAMA_MISSING where it does not load.
 */
export function loadLibraries(folder: string): Llama {
  // recursion over the graph of a large model needs more than koffi's 128 KiB
  koffi.config({ sync_stack_size: nativeStackBytes, async_stack_size: nativeStackBytes })
  const [base, ggml, llama] = librariesIn(folder)?.files.map((file) => loadLibrary(join(folder, file))) ?? []
  if (base === undefined || ggml === undefined || llama === undefined) {
    throw MqError.of('LLAMA_MISSING', { problem: `its libraries are not in ${folder}` })
  }
  const version = (llama.func('const char *llama_version()') as Native<() => string>)()
  if (!isKnown(version)) throw MqError.of('LLAMA_VERSION', { found: version, expected: llamaVersion })
  const loadBackends = ggml.func('void ggml_backend_load_all_from_path(const char *folder)') as Native<(folder: string) => void>
  loadBackends(folder)
  for (const [name, sizeBytes] of Object.entries(structs)) {
    const alignment = sizeBytes % 8 === 0 ? 8 : 1
    koffi.struct(name, { bytes: [alignment, koffi.array('uint8_t', sizeBytes, 'Typed')] })
  }
  const bound = { ...bindGgml(base), ...bindDevices(base, ggml), ...bindLlama(llama) }
  bound.backendInit()
  return bound
}

/** Calls a native function on another thread, so that this one stays open to messages. */
export async function offThread<Arguments extends unknown[], Result>(
  call: Native<(...args: Arguments) => Result>,
  ...args: Arguments
): Promise<Result> {
  return await new Promise((resolve, reject) => {
    const done = (error: Error | null, result: Result): void => (error === null ? resolve(result) : reject(error))
    call.async(...args, done)
  })
}

/** A view of `count` floats in llama.cpp's memory, valid until the next decode. */
export function floatsAt(address: Address, count: number): Float32Array {
  return new Float32Array(koffi.view(address, 4 * count))
}

function loadLibrary(path: string): LibraryHandle {
  try {
    return koffi.load(path, { global: true })
  } catch (error) {
    throw MqError.of('LLAMA_MISSING', { problem: error instanceof Error ? error.message : String(error) }, { cause: error })
  }
}

function binder(library: LibraryHandle) {
  return <Call extends (...args: never[]) => unknown>(declaration: string) => library.func(declaration) as unknown as Native<Call>
}

function bindGgml(library: LibraryHandle) {
  const bind = binder(library)
  return {
    bufferIsHost: bind<(buffer: Address) => boolean>('bool ggml_backend_buffer_is_host(void *buffer)'),
    cpuBufferType: bind<() => Address>('void *ggml_backend_cpu_buffer_type()'),
    tensorGet: bind<(tensor: Address, data: Uint8Array, offset: number, sizeBytes: number) => void>(
      'void ggml_backend_tensor_get(void *tensor, _Out_ uint8_t *data, size_t offset, size_t size)',
    ),
  }
}

function bindDevices(base: LibraryHandle, ggml: LibraryHandle) {
  const [inBase, inGgml] = [binder(base), binder(ggml)]
  return {
    deviceCount: inGgml<() => number>('size_t ggml_backend_dev_count()'),
    deviceAt: inGgml<(index: number) => Address>('void *ggml_backend_dev_get(size_t index)'),
    deviceName: inBase<(device: Address) => string | null>('const char *ggml_backend_dev_name(void *device)'),
    deviceDescription: inBase<(device: Address) => string | null>('const char *ggml_backend_dev_description(void *device)'),
    deviceType: inBase<(device: Address) => number>('int ggml_backend_dev_type(void *device)'),
    deviceMemory: inBase<(device: Address, free: BigUint64Array, total: BigUint64Array) => void>(
      'void ggml_backend_dev_memory(void *device, _Out_ size_t *free, _Out_ size_t *total)',
    ),
  }
}

function bindLlama(library: LibraryHandle) {
  const bind = binder(library)
  return {
    backendInit: bind<() => void>('void llama_backend_init()'),

    version: bind<() => string>('const char *llama_version()'),
    systemInfo: bind<() => string>('const char *llama_print_system_info()'),
    modelDefaultParams: bind<() => StructValue>('llama_model_params llama_model_default_params()'),
    modelLoad: bind<(path: string, params: StructValue) => Address | null>(
      'void *llama_model_load_from_file(const char *path, llama_model_params params)',
    ),
    modelVocab: bind<(model: Address) => Address>('void *llama_model_get_vocab(void *model)'),
    modelMetadata: bind<(model: Address, key: string, text: Uint8Array, sizeBytes: number) => number>(
      'int32_t llama_model_meta_val_str(void *model, const char *key, uint8_t *text, size_t size)',
    ),
    modelDescription: bind<(model: Address, text: Uint8Array, sizeBytes: number) => number>(
      'int32_t llama_model_desc(void *model, uint8_t *text, size_t size)',
    ),
    modelParameters: bind<(model: Address) => number>('uint64_t llama_model_n_params(void *model)'),
    modelSizeBytes: bind<(model: Address) => number>('uint64_t llama_model_size(void *model)'),
    modelTrainedContext: bind<(model: Address) => number>('int32_t llama_model_n_ctx_train(void *model)'),
    modelHasEncoder: bind<(model: Address) => boolean>('bool llama_model_has_encoder(void *model)'),
    modelHasDecoder: bind<(model: Address) => boolean>('bool llama_model_has_decoder(void *model)'),
    modelEmbeddingLength: bind<(model: Address) => number>('int32_t llama_model_n_embd_out(void *model)'),
    modelClasses: bind<(model: Address) => number>('uint32_t llama_model_n_cls_out(void *model)'),
    modelChatTemplate: bind<(model: Address, name: string | null) => string | null>(
      'const char *llama_model_chat_template(void *model, const char *name)',
    ),

    vocabType: bind<(vocab: Address) => number>('int llama_vocab_type(void *vocab)'),
    vocabTokens: bind<(vocab: Address) => number>('int32_t llama_vocab_n_tokens(void *vocab)'),
    vocabAddsBos: bind<(vocab: Address) => boolean>('bool llama_vocab_get_add_bos(void *vocab)'),
    vocabBos: bind<(vocab: Address) => number>('int32_t llama_vocab_bos(void *vocab)'),
    vocabEos: bind<(vocab: Address) => number>('int32_t llama_vocab_eos(void *vocab)'),
    vocabSep: bind<(vocab: Address) => number>('int32_t llama_vocab_sep(void *vocab)'),
    vocabAddsEos: bind<(vocab: Address) => boolean>('bool llama_vocab_get_add_eos(void *vocab)'),
    vocabAddsSep: bind<(vocab: Address) => boolean>('bool llama_vocab_get_add_sep(void *vocab)'),
    vocabIsEnd: bind<(vocab: Address, token: number) => boolean>('bool llama_vocab_is_eog(void *vocab, int32_t token)'),
    vocabText: bind<(vocab: Address, token: number) => string | null>(
      'const char *llama_vocab_get_text(void *vocab, int32_t token)',
    ),
    tokenize: bind<
      (vocab: Address, text: Uint8Array, bytes: number, tokens: Int32Array, count: number, add: boolean, parse: boolean) => number
    >(
      'int32_t llama_tokenize(void *vocab, const uint8_t *text, int32_t bytes, int32_t *tokens, int32_t count, bool add_special, bool parse_special)',
    ),
    tokenToPiece: bind<
      (vocab: Address, token: number, text: Uint8Array, sizeBytes: number, lstrip: number, special: boolean) => number
    >('int32_t llama_token_to_piece(void *vocab, int32_t token, uint8_t *text, int32_t size, int32_t lstrip, bool special)'),

    contextDefaultParams: bind<() => StructValue>('llama_context_params llama_context_default_params()'),
    contextInit: bind<(model: Address, params: StructValue) => Address | null>(
      'void *llama_init_from_model(void *model, llama_context_params params)',
    ),
    contextFree: bind<(context: Address) => void>('void llama_free(void *context)'),
    contextMemory: bind<(context: Address) => Address | null>('void *llama_get_memory(void *context)'),
    memoryClear: bind<(memory: Address, data: boolean) => void>('void llama_memory_clear(void *memory, bool data)'),
    memoryRemove: bind<(memory: Address, sequence: number, from: number, to: number) => boolean>(
      'bool llama_memory_seq_rm(void *memory, int32_t sequence, int32_t from, int32_t to)',
    ),
    memoryCopy: bind<(memory: Address, source: number, target: number, from: number, to: number) => void>(
      'void llama_memory_seq_cp(void *memory, int32_t source, int32_t target, int32_t from, int32_t to)',
    ),
    memoryFirst: bind<(memory: Address, sequence: number) => number>(
      'int32_t llama_memory_seq_pos_min(void *memory, int32_t sequence)',
    ),
    synchronize: bind<(context: Address) => void>('void llama_synchronize(void *context)'),
    embeddingOf: bind<(context: Address, sequence: number) => Address | null>(
      'void *llama_get_embeddings_seq(void *context, int32_t sequence)',
    ),
    decode: bind<(context: Address, batch: StructValue) => number>('int32_t llama_decode(void *context, llama_batch batch)'),
    logitsAt: bind<(context: Address, index: number) => Address | null>(
      'void *llama_get_logits_ith(void *context, int32_t index)',
    ),

    samplerChainDefaultParams: bind<() => StructValue>('llama_sampler_chain_params llama_sampler_chain_default_params()'),
    samplerChain: bind<(params: StructValue) => Address>('void *llama_sampler_chain_init(llama_sampler_chain_params params)'),
    samplerAdd: bind<(chain: Address, sampler: Address) => void>('void llama_sampler_chain_add(void *chain, void *sampler)'),
    samplerGreedy: bind<() => Address>('void *llama_sampler_init_greedy()'),
    samplerTopK: bind<(k: number) => Address>('void *llama_sampler_init_top_k(int32_t k)'),
    samplerTopP: bind<(p: number, minKeep: number) => Address>('void *llama_sampler_init_top_p(float p, size_t min_keep)'),
    samplerMinP: bind<(p: number, minKeep: number) => Address>('void *llama_sampler_init_min_p(float p, size_t min_keep)'),
    samplerTemperature: bind<(temperature: number) => Address>('void *llama_sampler_init_temp(float t)'),
    samplerPenalties: bind<(vocabulary: number, last: number, repeat: number, frequency: number, presence: number) => Address>(
      'void *llama_sampler_init_penalties(int32_t vocabulary, int32_t last, float repeat, float frequency, float presence)',
    ),
    samplerLogitBias: bind<(vocabulary: number, count: number, biases: Uint8Array) => Address>(
      'void *llama_sampler_init_logit_bias(int32_t vocabulary, int32_t count, const uint8_t *biases)',
    ),
    samplerGrammar: bind<(vocab: Address, grammar: string, root: string) => Address | null>(
      'void *llama_sampler_init_grammar(void *vocab, const char *grammar, const char *root)',
    ),
    samplerAccept: bind<(chain: Address, token: number) => void>('void llama_sampler_accept(void *chain, int32_t token)'),
    samplerDraw: bind<(seed: number) => Address>('void *llama_sampler_init_dist(uint32_t seed)'),
    samplerSample: bind<(chain: Address, context: Address, index: number) => number>(
      'int32_t llama_sampler_sample(void *chain, void *context, int32_t index)',
    ),
    samplerFree: bind<(chain: Address) => void>('void llama_sampler_free(void *chain)'),
  }
}
