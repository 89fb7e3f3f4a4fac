import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SafetensorsInput, writeSafetensors } from '../../formats/safetensors/index.js'
import { samplePath } from './sample-models.js'

/** Special tokens, which are the last of the sample's vocabulary. */
const specialTokens = 5

/** How much of the sample is left. */
export interface SampleSizes {
  /** Tokens: the first, and the special ones. */
  readonly vocabulary?: number
  /** Width of the feed-forward layer. */
  readonly intermediate?: number
}

/**
 * Writes the first layer of samples/llama-kjv as a checkpoint, its embedding in place of its output matrix: a quarter of the weights, for
 * tests in which a model is measured and that do not ask which. With smaller sizes it is a worse model, and less work.
 */
export async function writeOneLayerSample(folder: string, sizes: SampleSizes = {}): Promise<void> {
  const sample = samplePath('llama-kjv')
  await mkdir(folder, { recursive: true })
  const config = JSON.parse(await readFile(join(sample, 'config.json'), 'utf8')) as {
    vocab_size: number
    intermediate_size: number
  }
  const { vocabulary = config.vocab_size, intermediate = config.intermediate_size } = sizes
  await writeTokenizer(sample, folder, config.vocab_size, vocabulary)
  const changed = { num_hidden_layers: 1, tie_word_embeddings: true, vocab_size: vocabulary, intermediate_size: intermediate }
  const ends = { bos_token_id: vocabulary - specialTokens, eos_token_id: vocabulary - 1 }
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...changed, ...ends }))
  const generation = JSON.parse(await readFile(join(sample, 'generation_config.json'), 'utf8')) as object
  await writeFile(join(folder, 'generation_config.json'), JSON.stringify({ ...generation, ...ends }))
  const bytes = await readFile(join(sample, 'model.safetensors'))
  const dataStart = 8 + Number(bytes.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, dataStart)) as Header
  const kept = Object.entries(header).filter(([name]) => name !== 'lm_head.weight' && !/\.layers\.[1-9]/.test(name))
  const tensors = kept.map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [start, end],
      },
    ]): SafetensorsInput => {
      const whole: HeldTensor = { name, dtype, shape, data: bytes.subarray(dataStart + start, dataStart + end) }
      if (name.includes('embed_tokens')) return keepRows(whole, [vocabulary - specialTokens, specialTokens])
      if (/(?:gate|up)_proj/.test(name)) return keepRows(whole, [intermediate, 0])
      return name.includes('down_proj') ? keepColumns(whole, intermediate) : whole
    },
  )
  await writeSafetensors(join(folder, 'model.safetensors'), tensors)
}

type Header = Record<
  string,
  { readonly dtype: SafetensorsInput['dtype']; readonly shape: number[]; readonly data_offsets: [number, number] }
>

type HeldTensor = Omit<SafetensorsInput, 'data'> & { readonly data: Uint8Array }

/** The first and the last rows of a matrix. */
function keepRows({ data, shape: [rows = 0, columns = 0], ...tensor }: HeldTensor, [first, last]: [number, number]): HeldTensor {
  const rowBytes = data.byteLength / rows
  const kept = [data.subarray(0, first * rowBytes), data.subarray((rows - last) * rowBytes)]
  return { ...tensor, shape: [first + last, columns], data: Buffer.concat(kept) }
}

/** The first columns of a matrix. */
function keepColumns({ data, shape: [rows = 0, columns = 0], ...tensor }: HeldTensor, kept: number): HeldTensor {
  const rowBytes = data.byteLength / rows
  const keptBytes = (rowBytes / columns) * kept
  const cut = Array.from({ length: rows }, (_, row) => data.subarray(row * rowBytes, row * rowBytes + keptBytes))
  return { ...tensor, shape: [rows, kept], data: Buffer.concat(cut) }
}

interface Tokenizer {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly unknown[] }
  readonly added_tokens: readonly { readonly id: number }[]
}

/** Each merge makes one token, in their order: so the first tokens need the first merges. */
async function writeTokenizer(sample: string, folder: string, full: number, vocabulary: number): Promise<void> {
  await copyFile(join(sample, 'tokenizer_config.json'), join(folder, 'tokenizer_config.json'))
  if (vocabulary === full) return copyFile(join(sample, 'tokenizer.json'), join(folder, 'tokenizer.json'))
  const text = await readFile(join(sample, 'tokenizer.json'), 'utf8')
  const { model, added_tokens: added, ...rest } = JSON.parse(text) as Tokenizer
  const gone = full - vocabulary
  const cut = {
    ...(JSON.parse(JSON.stringify(rest).replace(/"ids":\[(\d+)\]/g, (_, id) => `"ids":[${Number(id) - gone}]`)) as object),
    added_tokens: added.map((token) => ({ ...token, id: token.id - gone })),
    model: {
      ...model,
      vocab: Object.fromEntries(Object.entries(model.vocab).filter(([, id]) => id < vocabulary - specialTokens)),
      merges: model.merges.slice(0, model.merges.length - gone),
    },
  }
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(cut))
}
