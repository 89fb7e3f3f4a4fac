import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SafetensorsInput, writeSafetensors } from '../../formats/safetensors/index.js'
import { smallTensor } from './checkpoints.js'

/** An adapter made for a test: shapes by name, without `base_model.model.`. */
export interface SmallAdapter {
  readonly config?: Readonly<Record<string, unknown>>
  readonly tensors: Readonly<Record<string, readonly number[]>>
  /** More files, by name. */
  readonly files?: Readonly<Record<string, unknown>>
}

/** Writes an adapter folder as peft does, with made up values of F32. */
export async function writeAdapter(folder: string, { config = {}, tensors, files = {} }: SmallAdapter): Promise<string> {
  await mkdir(folder, { recursive: true })
  await writeSafetensors(
    join(folder, 'adapter_model.safetensors'),
    Object.entries(tensors).map(([name, shape]) => adapterTensor(name, shape)),
  )
  const all = {
    'adapter_config.json': { peft_type: 'LORA', r: 4, lora_alpha: 8, base_model_name_or_path: 'org/base', ...config },
    ...files,
  }
  for (const [name, content] of Object.entries(all)) {
    await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return folder
}

function adapterTensor(name: string, shape: readonly number[]): SafetensorsInput {
  return smallTensor(`base_model.model.${name}`, 'F32', shape)
}

/** The values of a tensor of such an adapter. */
export function adapterValues(name: string, shape: readonly number[]): Float32Array {
  const { data } = adapterTensor(name, shape)
  return new Float32Array((data as Uint8Array).buffer)
}

/** B A, scaled, outputs x inputs, in double precision. */
export function product(b: Float32Array, a: Float32Array, rank: number, scale: number): Float64Array {
  const [outputs, inputs] = [b.length / rank, a.length / rank]
  return Float64Array.from({ length: outputs * inputs }, (_, at) => {
    const [row, column] = [Math.floor(at / inputs), at % inputs]
    let sum = 0
    for (let k = 0; k < rank; k++) sum += (b[row * rank + k] as number) * (a[k * inputs + column] as number)
    return sum * scale
  })
}
