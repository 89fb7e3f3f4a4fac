import { readFile, writeFile } from 'node:fs/promises'
import type { CheckpointSpec } from './checkpoints/index.js'
import type { GgufDigest } from './digest.js'
import { projectRoot } from './root.js'

/** What llama.cpp's converter makes of a checkpoint, at both types. */
export interface Golden {
  readonly f32: GgufDigest
  readonly bf16: GgufDigest
}

export const goldenTypes = ['f32', 'bf16'] as const

/** The file: keys and tensors by name, at F32 and, where it is another, at BF16. */
interface Stored {
  readonly keys: Rows
  readonly tensors: Rows
}

type Rows = Readonly<Record<string, string | readonly [string, string]>>

function pathOf({ name }: CheckpointSpec): string {
  return `${projectRoot}test/golden/coverage/${name}.json`
}

/** Reads the golden file of a specification; undefined where there is none. */
export async function readGolden(spec: CheckpointSpec): Promise<Golden | undefined> {
  const text = await readFile(pathOf(spec), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  const { keys, tensors } = JSON.parse(text) as Stored
  return { f32: { keys: pick(keys, 0), tensors: pick(tensors, 0) }, bf16: { keys: pick(keys, 1), tensors: pick(tensors, 1) } }
}

function pick(rows: Rows, index: 0 | 1): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(rows).map(([name, value]) => [name, typeof value === 'string' ? value : value[index]]))
}

/** Writes the golden file: a line for each key and tensor. @throws Error where the two types do not hold the same names. */
export async function writeGolden(spec: CheckpointSpec, { f32, bf16 }: Golden): Promise<void> {
  for (const part of ['keys', 'tensors'] as const) {
    if (Object.keys(f32[part]).join() !== Object.keys(bf16[part]).join()) {
      throw new Error(`${spec.name} has other ${part} at f32 than at bf16`)
    }
  }
  const rows = (part: 'keys' | 'tensors'): Rows =>
    Object.fromEntries(
      Object.entries(f32[part]).map(([name, value]) => {
        const other = bf16[part][name]
        return [name, other === undefined || other === value ? value : [value, other]]
      }),
    )
  const stored: Stored = { keys: rows('keys'), tensors: rows('tensors') }
  await writeFile(pathOf(spec), goldenText(stored))
}

/** A line for each key and tensor, so that a change shows as one. */
function goldenText(stored: Stored): string {
  const part = (rows: Rows): string =>
    Object.entries(rows)
      .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
      .join(',\n')
  return `{"keys":{\n${part(stored.keys)}},\n"tensors":{\n${part(stored.tensors)}}}\n`
}
