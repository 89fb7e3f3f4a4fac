import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fileSource } from '../formats/byte-source.js'
import { readSafetensorsHeader } from '../formats/safetensors/index.js'
import { makeBlueprint } from '../src/model/convert/index.js'
import { planUniform } from '../src/plan/plan-uniform.js'
import { finish } from '../src/progress/index.js'
import { quantize } from '../src/quantize/index.js'
import { loadModel } from '../src/runner/index.js'
import { multiply, transpose } from './matrix.js'

/** A weight of samples/llama-kjv and what goes into it. */
export interface SampleWeight {
  /** As in the checkpoint. */
  readonly name: string
  readonly kind: 'attention' | 'gate/up' | 'down'
  /** Row-major, `rowLength` values a row. */
  readonly values: Float32Array
  readonly rowLength: number
  /** Weights of one input share its name. */
  readonly input: string
}

const layers = 4
const width = 256
const inner = 768
const headWidth = 32
const heads = 8
const keyHeads = 4
const contextLength = 512
const firstToken = 2043

/** The 28 projections of samples/llama-kjv in the order of their layers. */
export async function sampleWeights(): Promise<SampleWeight[]> {
  const tensors = await readSample()
  const parts = [
    ['self_attn.q_proj', 'attention', 'attention', width],
    ['self_attn.k_proj', 'attention', 'attention', width],
    ['self_attn.v_proj', 'attention', 'attention', width],
    ['self_attn.o_proj', 'attention', 'heads', width],
    ['mlp.gate_proj', 'gate/up', 'mlp', width],
    ['mlp.up_proj', 'gate/up', 'mlp', width],
    ['mlp.down_proj', 'down', 'inner', inner],
  ] as const
  return Array.from({ length: layers }, (_, layer) =>
    parts.map(([part, kind, input, rowLength]) => {
      const name = `model.layers.${layer}.${part}.weight`
      return { name, kind, values: tensors(name), rowLength, input: `${layer}.${input}` }
    }),
  ).flat()
}

/**
 * Covariances X^T X / tokens of what goes into the projections of samples/llama-kjv when it reads a text: a forward pass in f64, in
 * contexts of 512 tokens.
 * @param text a file under samples/text, without its ending.
 * @param contexts how many of them to read. @param depth layers to go through, from the first.
 * @param first contexts of the text that are passed over.
 * @returns for each input (see SampleWeight) the whole matrix, row-major.
 */
export async function sampleCovariances(
  text: string,
  contexts: number,
  depth: number = layers,
  first: number = 0,
): Promise<Map<string, Float64Array>> {
  const tensors = await readSample()
  const tokens = await tokenize(text)
  const sums = new Map<string, Float64Array>()
  const see = (input: string, x: Float64Array): void => {
    const n = x.length / contextLength
    const columns = transpose(x, contextLength, n)
    const products = multiply(columns, columns, n, n, contextLength)
    const sum = sums.get(input) ?? new Float64Array(n * n)
    sums.set(
      input,
      sum.map((value, i) => value + (products[i] as number) / (contexts * contextLength)),
    )
  }
  const weight = (name: string): Float64Array => Float64Array.from(tensors(name))
  const linear = (x: Float64Array, name: string): Float64Array => {
    const w = weight(name)
    const length = x.length / contextLength
    return multiply(x, w, contextLength, w.length / length, length)
  }
  const embeddings = tensors('model.embed_tokens.weight')
  for (let context = first; context < first + contexts; context++) {
    const ids = tokens.subarray(context * (contextLength - 1), (context + 1) * (contextLength - 1))
    if (ids.length < contextLength - 1) throw new RangeError(`${text} has no ${first + contexts} contexts`)
    const x = new Float64Array(contextLength * width)
    for (const [t, id] of [firstToken, ...ids].entries()) x.set(embeddings.subarray(id * width, (id + 1) * width), t * width)
    for (let layer = 0; layer < depth; layer++) {
      const at = `model.layers.${layer}`
      const before = normalize(x, weight(`${at}.input_layernorm.weight`))
      see(`${layer}.attention`, before)
      const [q, k, v] = ['q', 'k', 'v'].map((p) => linear(before, `${at}.self_attn.${p}_proj.weight`)) as [
        Float64Array,
        Float64Array,
        Float64Array,
      ]
      rotate(q, heads)
      rotate(k, keyHeads)
      const attended = attend(q, k, v)
      see(`${layer}.heads`, attended)
      addTo(x, linear(attended, `${at}.self_attn.o_proj.weight`))
      const after = normalize(x, weight(`${at}.post_attention_layernorm.weight`))
      see(`${layer}.mlp`, after)
      const gate = linear(after, `${at}.mlp.gate_proj.weight`)
      const up = linear(after, `${at}.mlp.up_proj.weight`)
      const between = gate.map((value, i) => (value / (1 + Math.exp(-value))) * (up[i] as number))
      see(`${layer}.inner`, between)
      addTo(x, linear(between, `${at}.mlp.down_proj.weight`))
    }
  }
  return sums
}

function addTo(x: Float64Array, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i] = (x[i] as number) + (y[i] as number)
}

function normalize(x: Float64Array, gains: Float64Array): Float64Array {
  const y = new Float64Array(x.length)
  for (let at = 0; at < x.length; at += width) {
    let squares = 0
    for (let i = 0; i < width; i++) squares += (x[at + i] as number) ** 2
    const factor = 1 / Math.sqrt(squares / width + 1e-5)
    for (let i = 0; i < width; i++) y[at + i] = (x[at + i] as number) * factor * (gains[i] as number)
  }
  return y
}

/** Rotary positions, halves of a head paired, base 10000. */
function rotate(x: Float64Array, count: number): void {
  const half = headWidth / 2
  for (let t = 0; t < contextLength; t++) {
    for (let head = 0; head < count; head++) {
      for (let i = 0; i < half; i++) {
        const angle = t * 10000 ** (-i / half)
        const a = (t * count + head) * headWidth + i
        const [x0, x1] = [x[a] as number, x[a + half] as number]
        x[a] = x0 * Math.cos(angle) - x1 * Math.sin(angle)
        x[a + half] = x1 * Math.cos(angle) + x0 * Math.sin(angle)
      }
    }
  }
}

/** Causal attention; two heads of queries share one of keys and values. */
function attend(q: Float64Array, k: Float64Array, v: Float64Array): Float64Array {
  const y = new Float64Array(q.length)
  const scores = new Float64Array(contextLength)
  for (let head = 0; head < heads; head++) {
    const shared = Math.floor((head * keyHeads) / heads)
    for (let t = 0; t < contextLength; t++) {
      const from = (t * heads + head) * headWidth
      let greatest = Number.NEGATIVE_INFINITY
      for (let s = 0; s <= t; s++) {
        let dot = 0
        for (let i = 0; i < headWidth; i++)
          dot += (q[from + i] as number) * (k[(s * keyHeads + shared) * headWidth + i] as number)
        scores[s] = dot / Math.sqrt(headWidth)
        greatest = Math.max(greatest, scores[s] as number)
      }
      let total = 0
      for (let s = 0; s <= t; s++) total += scores[s] = Math.exp((scores[s] as number) - greatest)
      for (let s = 0; s <= t; s++) {
        const share = (scores[s] as number) / total
        for (let i = 0; i < headWidth; i++) {
          y[from + i] = (y[from + i] as number) + share * (v[(s * keyHeads + shared) * headWidth + i] as number)
        }
      }
    }
  }
  return y
}

/** The sample's tensors, all BF16, by name. */
async function readSample(): Promise<(name: string) => Float32Array> {
  const source = await fileSource(repositoryPath('samples/llama-kjv/model.safetensors'))
  try {
    const { tensors } = await readSafetensorsHeader(source)
    const all = await source.slice(0, source.byteLength)
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength)
    return (name) => {
      const found = tensors.get(name)
      if (found === undefined) throw new RangeError(`the sample has no ${name}`)
      const bits = Uint32Array.from(
        { length: (found.end - found.start) / 2 },
        (_, i) => view.getUint16(found.start + 2 * i, true) << 16,
      )
      return new Float32Array(bits.buffer)
    }
  } finally {
    await source.close()
  }
}

/** Token ids of a text, by llama.cpp. */
async function tokenize(text: string): Promise<Int32Array> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-activations-'))
  try {
    const blueprint = await makeBlueprint(repositoryPath('samples/llama-kjv'))
    const output = join(folder, 'sample.gguf')
    await finish(quantize({ blueprint, plan: planUniform(blueprint, 'BF16'), output, threads: 1 }))
    await using model = await loadModel(output)
    return await model.tokenize(await readFile(repositoryPath(`samples/text/${text}.txt`), 'utf8'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A path of the repository, from the sources as from dist/. */
function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`${import.meta.url.includes('/dist/') ? '../../' : '../'}${path}`, import.meta.url))
}
