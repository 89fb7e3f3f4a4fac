import { fileURLToPath } from 'node:url'
import { fileSource } from '../formats/byte-source.js'
import { readSafetensorsHeader } from '../formats/safetensors/index.js'
import { gaussian, studentT4, uniforms } from './random.js'

/** Rows of weights to quantize. */
export type DataName = 'gaussian' | 'student-t4' | 'sample'
/** How much the columns count: alike, spread over a factor of some ten, or as the mean squares of real activations. */
export type ImportanceName = 'none' | 'lognormal' | 'mean-square'

/**
 * Values of one kind, the same at each call.
 * @param sample safetensors file of BF16 weights for 'sample': its projections in the order of their names, repeated as needed.
 */
export async function benchData(name: DataName, length: number, sample: string): Promise<Float32Array> {
  if (name === 'gaussian') return gaussian(length, 1).map((x) => 0.02 * x)
  if (name === 'student-t4') return studentT4(length, 2).map((x) => 0.02 * x)
  const source = await fileSource(sample)
  try {
    const { tensors } = await readSafetensorsHeader(source)
    const names = [...tensors.keys()].filter((key) => key.includes('proj')).toSorted()
    // A part of every tensor: they are of unlike distributions.
    const share = Math.ceil(length / names.length / 256) * 256
    const bits = new Uint32Array(length)
    let filled = 0
    for (let k = 0; filled < length; k = (k + 1) % names.length) {
      const { start, end } = tensors.get(names[k] ?? '') ?? { start: 0, end: 0 }
      const count = Math.min(share, length - filled, (end - start) / 2)
      const bytes = await source.slice(start, start + 2 * count)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (let i = 0; i < count; i++) bits[filled + i] = view.getUint16(2 * i, true) << 16
      filled += count
    }
    return new Float32Array(bits.buffer)
  } finally {
    await source.close()
  }
}

/** The sample checkpoint of the repository, seen from the sources as from dist/. */
export function samplePath(): string {
  const below = import.meta.url.includes('/dist/') ? '../../' : '../'
  return fileURLToPath(new URL(`${below}samples/llama-kjv/model.safetensors`, import.meta.url))
}

/** One weight for each column. */
export function benchImportance(name: ImportanceName, rowLength: number): Float32Array | undefined {
  if (name === 'none') return undefined
  const spread = gaussian(rowLength, 3)
  if (name === 'lognormal') return spread.map((x) => Math.exp(x))
  // Some columns are far stronger than the rest, as behind a norm with large gains; each is a mean of few squares.
  const next = uniforms(4)
  return spread.map((x) => 0.01 * Math.exp(1.5 * x) * -Math.log(next() * next()))
}
