import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SafetensorsInput, writeSafetensors } from '../../formats/safetensors/index.js'

/** A checkpoint made for a test: shapes by name, values that differ from place to place. */
export interface SmallCheckpoint {
  readonly config: Readonly<Record<string, unknown>>
  /** Shape and element type; values are made up. */
  readonly tensors: Readonly<Record<string, readonly [SmallDtype, ...number[]]>>
  /** More files, by name: text, or an object that is written as JSON. They win over the sample's tokenizer files. */
  readonly files?: Readonly<Record<string, unknown>>
}

type SmallDtype = 'F32' | 'F16' | 'BF16' | 'F8_E4M3'

const samples = new URL('../../samples/', import.meta.url).pathname

/** Writes a checkpoint folder, with the tokenizer of a sample (2048 tokens). */
export async function writeCheckpoint(folder: string, { config, tensors, files = {} }: SmallCheckpoint): Promise<string> {
  await mkdir(folder, { recursive: true })
  const sample = JSON.stringify(config['architectures']).includes('Deepseek') ? 'deepseek-kjv-moe' : 'llama-kjv'
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) await cp(`${samples}${sample}/${name}`, join(folder, name))
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    Object.entries(tensors).map(([name, [dtype, ...shape]]) => smallTensor(name, dtype, shape)),
  )
  for (const [name, content] of Object.entries({ 'config.json': config, ...files })) {
    await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return folder
}

/** A tensor of finite values that follow from its name and shape alone. */
export function smallTensor(name: string, dtype: SmallDtype, shape: readonly number[]): SafetensorsInput {
  const length = shape.reduce((product, size) => product * size, 1)
  let state = Buffer.from(name).reduce((hash, byte) => (Math.imul(hash, 31) + byte) >>> 0, 1)
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
  if (dtype === 'F32') {
    const values = Float32Array.from({ length }, () => next() / 2 ** 32 - 0.5)
    return { name, dtype, shape, data: new Uint8Array(values.buffer) }
  }
  if (dtype === 'F8_E4M3') {
    return { name, dtype, shape, data: Uint8Array.from({ length }, () => finiteE4m3((next() >>> 16) & 0xff)) }
  }
  // Any sign and mantissa, at an exponent around 2^-4: 0x3d80 in BF16, 0x2c00 in F16.
  const [base, mantissa] = dtype === 'BF16' ? [0x3d00, 0x1ff] : [0x2800, 0x0fff]
  const codes = Uint16Array.from({ length }, () => {
    const bits = next() >>> 8
    return ((bits & 1) << 15) | (base + ((bits >>> 1) & mantissa))
  })
  return { name, dtype, shape, data: new Uint8Array(codes.buffer) }
}

/** All codes of E4M3 are numbers but 0x7f and 0xff. */
function finiteE4m3(code: number): number {
  return (code & 0x7f) === 0x7f ? code - 1 : code
}
