import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type CollectedInput, randomSigns, writeImportanceMatrix } from '../formats/imatrix/index.js'
import { writeSafetensors } from '../formats/safetensors/index.js'
import { samplePath } from './data.js'
import { gaussian, integers, studentT4 } from './random.js'
import { writeSparseSafetensors } from './sparse-safetensors.js'

// A Llama of any size, with the sample's tokenizer.
const smallSizes: ModelSizes = { hidden: 2048, intermediate: 5632 }
/** As those of a model with eight billion weights. */
export const wideSizes: ModelSizes = { hidden: 4096, intermediate: 14_336 }
const heads = 32
const keyValueHeads = 4

interface SyntheticTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** GGUF name of a weight that calibration knows. */
  readonly calibrated?: string
}

interface ModelSizes {
  readonly hidden: number
  readonly intermediate: number
}

export interface SyntheticOptions {
  /** No weights but zeros, that take no room on the disk, and a few real rows in every tensor. */
  readonly sparse?: boolean
  /** Of covariances that are written beside the importance. */
  readonly rank?: number
  /** By default those of a model with a billion weights. */
  readonly sizes?: ModelSizes
}

export interface Synthetic {
  readonly folder: string
  /** An importance matrix, in the GGUF form. */
  readonly imatrix: string
  /** The same with covariances of the inputs, where they were asked for. */
  readonly calibration?: string
  readonly sourceBytes: number
  readonly weights: number
}

/**
 * Writes a checkpoint of about `bytes` in bf16 into `folder`, the same one each time: heavy-tailed weights, rows of unlike sizes, a few
 * columns that are far larger than the rest.
 */
export async function writeSynthetic(folder: string, bytes: number, options: SyntheticOptions = {}): Promise<Synthetic> {
  const { sparse = false, rank, sizes: modelSizes = smallSizes } = options
  const { hidden, intermediate } = modelSizes
  await mkdir(folder, { recursive: true })
  const sample = dirname(samplePath())
  const config = JSON.parse(await readFile(join(sample, 'config.json'), 'utf8')) as { vocab_size: number }
  const layerBytes = 2 * layerTensors(0, modelSizes).reduce((sum, { shape }) => sum + count(shape), 0)
  const layers = Math.max(1, Math.round((bytes - 4 * config.vocab_size * hidden) / layerBytes))
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    await copyFile(join(sample, name), join(folder, name))
  const sizes = {
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: hidden / heads,
    num_hidden_layers: layers,
  }
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...sizes }, undefined, 2))

  const tensors = [
    { name: 'model.embed_tokens.weight', shape: [config.vocab_size, hidden] },
    ...Array.from({ length: layers }, (_, layer) => layerTensors(layer, modelSizes)).flat(),
    { name: 'model.norm.weight', shape: [hidden] },
    { name: 'lm_head.weight', shape: [config.vocab_size, hidden] },
  ]
  const path = join(folder, 'model.safetensors')
  if (sparse) await writeSparse(path, tensors)
  else {
    const inputs = tensors.map(({ name, shape }, seed) => ({ name, shape, dtype: 'BF16' as const, data: weightsOf(shape, seed) }))
    await writeSafetensors(path, inputs, new Map([['format', 'pt']]))
  }
  const imatrix = join(folder, 'imatrix.gguf')
  await writeImatrix(imatrix, tensors)
  const calibration = join(folder, 'calibration.gguf')
  if (rank !== undefined) await writeImatrix(calibration, tensors, rank)
  const weights = tensors.reduce((sum, { shape }) => sum + count(shape), 0)
  return { folder, imatrix, calibration: rank === undefined ? undefined : calibration, weights, sourceBytes: 2 * weights }
}

function layerTensors(layer: number, { hidden, intermediate }: ModelSizes): SyntheticTensor[] {
  const [front, back] = [`model.layers.${layer}`, `blk.${layer}`]
  const keyValue = (hidden / heads) * keyValueHeads
  const tensor = (name: string, calibrated: string, shape: number[]): SyntheticTensor => {
    return { name: `${front}.${name}.weight`, shape, calibrated: `${back}.${calibrated}.weight` }
  }
  return [
    { name: `${front}.input_layernorm.weight`, shape: [hidden] },
    { name: `${front}.post_attention_layernorm.weight`, shape: [hidden] },
    tensor('self_attn.q_proj', 'attn_q', [hidden, hidden]),
    tensor('self_attn.k_proj', 'attn_k', [keyValue, hidden]),
    tensor('self_attn.v_proj', 'attn_v', [keyValue, hidden]),
    tensor('self_attn.o_proj', 'attn_output', [hidden, hidden]),
    tensor('mlp.gate_proj', 'ffn_gate', [intermediate, hidden]),
    tensor('mlp.up_proj', 'ffn_up', [intermediate, hidden]),
    tensor('mlp.down_proj', 'ffn_down', [hidden, intermediate]),
  ]
}

const piece = 2 ** 20
const table = once(() => studentT4(2 ** 20 + 2 ** 16, 5))

/** Rows are windows of one table of values, each at a place and of a size of its own: fast to make, and no two are alike. */
async function* weightsOf(shape: readonly number[], seed: number): AsyncGenerator<Uint8Array> {
  const columns = shape.at(-1) ?? 1
  const rows = count(shape) / columns
  const columnScales = gaussian(columns, seed + 1000).map((x) => 0.02 * Math.exp(0.1 * x) * (Math.abs(x) > 3 ? 8 : 1))
  const next = integers(seed)
  const rowsAtOnce = Math.max(1, Math.floor(piece / columns))
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const here = Math.min(rowsAtOnce, rows - row)
    const values = new Float32Array(here * columns)
    for (let at = 0; at < values.length; at += columns) {
      const start = next() % (2 ** 20 + 2 ** 16 - columns)
      const scale = 0.5 + next() / 2 ** 32
      for (let column = 0; column < columns; column++) {
        const x = (table()[start + column] as number) * (columnScales[column] as number)
        values[at + column] = scale * x
      }
    }
    yield bfloat16(values)
  }
}

/** The upper halves, rounded towards zero. */
function bfloat16(values: Float32Array): Uint8Array {
  const halves = new Uint16Array(values.buffer)
  const bits = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) bits[i] = halves[2 * i + 1] as number
  return new Uint8Array(bits.buffer)
}

/** A safetensors file that is a hole but for its header and the first rows of every tensor. */
function writeSparse(path: string, tensors: readonly SyntheticTensor[]): Promise<void> {
  const typed = tensors.map(({ name, shape }) => ({ name, dtype: 'BF16' as const, shape }))
  return writeSparseSafetensors(path, typed, async (file, starts) => {
    for (const [seed, { shape }] of tensors.entries()) {
      const real = [...shape.slice(0, -1).map(() => 4), shape.at(-1) ?? 1]
      for await (const bytes of weightsOf(real, seed)) await file.write(bytes, 0, bytes.length, starts[seed])
    }
  })
}

const tokens = 51_200

async function writeImatrix(path: string, tensors: readonly SyntheticTensor[], rank?: number): Promise<void> {
  const known = tensors.flatMap(({ calibrated, shape }, seed) => {
    if (calibrated === undefined) return []
    const means = gaussian(shape.at(-1) ?? 1, seed + 5000).map((x) => 0.01 * Math.exp(1.5 * x))
    return [{ name: calibrated, means }]
  })
  const entries = new Map(known.map(({ name, means }) => [name, { sums: means.map((x) => tokens * x), counts: [tokens] }]))
  const head = { datasets: ['synthetic'], chunks: 100, chunkLength: 512 }
  if (rank === undefined) return writeImportanceMatrix(path, { entries, ...head })
  // Attention's three share an input, and so do gate and up.
  const inputOf = new Map(known.map(({ name }) => [name, name.replace(/attn_[kv]/, 'attn_q').replace('ffn_up', 'ffn_gate')]))
  const inputs = new Map(
    known.flatMap(({ name, means }) => (inputOf.get(name) === name ? [[name, sketchOf(means, rank)] as const] : [])),
  )
  await writeImportanceMatrix(path, { entries, ...head, covariance: { seed: 1, rank, inputOf, inputs } })
}

/** Inputs of which as many causes as the rank drive some half, each its own columns most. */
function sketchOf(means: Float32Array, rank: number): CollectedInput {
  const n = means.length
  const width = 3 * rank
  const signs = randomSigns(1, n, width)
  const shares = gaussian(rank * n, 6000)
  const factors = shares.map((x, i) => x * Math.sqrt((0.5 * (means[i % n] as number)) / rank))
  const projected = new Float32Array(rank * width)
  for (let k = 0; k < rank; k++) {
    for (let i = 0; i < n; i++) {
      const factor = factors[k * n + i] as number
      for (let s = 0; s < width; s++)
        projected[k * width + s] = (projected[k * width + s] as number) + factor * (signs[i * width + s] as number)
    }
  }
  const sketch = new Float32Array(n * width)
  const squares = new Float32Array(n)
  for (let i = 0; i < n; i++) {
    const own = 0.5 * (means[i] as number)
    squares[i] = tokens * own
    for (let s = 0; s < width; s++) sketch[i * width + s] = tokens * own * (signs[i * width + s] as number)
    for (let k = 0; k < rank; k++) {
      const factor = factors[k * n + i] as number
      squares[i] = (squares[i] as number) + tokens * factor * factor
      for (let s = 0; s < width; s++) {
        sketch[i * width + s] = (sketch[i * width + s] as number) + tokens * factor * (projected[k * width + s] as number)
      }
    }
  }
  const kept = Float32Array.from(gaussian(64 * n, 7000), (x, i) => x * Math.sqrt(means[i % n] as number))
  return { columns: n, tokens: [tokens], squares, sketch, kept, keptCounts: [64] }
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
