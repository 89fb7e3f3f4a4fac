import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../../src/model/blueprint.js'
import type { Plan } from '../../src/plan/plan.js'
import { plain, type Shape, stack } from '../../src/recipe/index.js'

/** A tensor of a model made for a test: f32 values in a file of its own. */
export interface SmallTensor {
  readonly name: string
  readonly shape: Shape
  readonly role?: BlueprintTensor['role']
  readonly keepF32?: boolean
  /** Values for f32; by default a wave that no block scale fits. */
  readonly values?: Float32Array
  /** Store the entries of the first dimension apart and stack them, as experts are. */
  readonly stacked?: boolean
}

/** Writes the tensors' values into `folder` and describes them as a blueprint. */
export async function smallModel(folder: string, tensors: readonly SmallTensor[]): Promise<Blueprint> {
  const files: string[] = []
  const described: BlueprintTensor[] = []
  for (const { name, shape, role = 'ffn-up', keepF32 = false, values = wave(count(shape)), stacked = false } of tensors) {
    const file = files.push(join(folder, `${name}.f32`)) - 1
    await writeFile(files[file] as string, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    const entry = shape.slice(1)
    const bytes = 4 * count(entry)
    const recipe = stacked
      ? stack(
          Array.from({ length: shape[0] ?? 0 }, (_, index) =>
            plain('F32', { file, start: index * bytes, end: (index + 1) * bytes }, entry),
          ),
        )
      : plain('F32', { file, start: 0, end: 4 * values.length }, shape)
    described.push({ name, shape, role, keepF32, recipe })
  }
  return {
    architecture: 'llama',
    layers: 1,
    experts: 0,
    metadata: new Map([
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['llama.block_count', { type: 'uint32', value: 1 }],
      ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ]),
    files,
    tensors: described,
    sourceType: 'F32',
    notes: [],
  }
}

/** A plan that gives every tensor one type, or its own. Its sizes are left to be worked out. */
export function smallPlan(blueprint: Blueprint, type: GgmlTypeName, types: Readonly<Record<string, GgmlTypeName>> = {}): Plan {
  return {
    version: 1,
    architecture: blueprint.architecture,
    goal: `--type ${type}`,
    fileType: 7,
    bitsPerWeight: 0,
    dataBytes: 0,
    tensors: blueprint.tensors.map(({ name, role, shape, keepF32 }) => ({
      name,
      role,
      shape,
      type: keepF32 ? 'F32' : (types[name] ?? type),
      sizeBytes: 0,
      reason: 'a test',
    })),
    notes: [],
  }
}

/** Values between -1 and 1 without a period that a block would notice. */
export function wave(length: number): Float32Array {
  return Float32Array.from({ length }, (_, index) => Math.sin(0.37 * index + 1e-5 * index * index))
}

function count(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1)
}
