import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import type { Effort } from '../../../formats/ggml/effort.js'
import type { Feedback, Importance } from '../../engine/index.js'
import type { Blueprint } from '../../model/index.js'
import type { OutputLayout } from '../../plan/index.js'

const require = createRequire(import.meta.url)

/**
 * A digest of everything that the bytes of an output depend on: the headers (metadata, names, types, places), the recipes, the
 * importance, the calibration and how it is damped, the kernels and their effort, how the work is cut into tasks, and the source files. Those are told apart by path, size and time of change:
 * to read them whole would cost as much as the work that a journal saves.
 */
export async function identityOf(
  blueprint: Blueprint,
  layout: OutputLayout,
  options: {
    readonly importance: Importance | undefined
    readonly feedback: Feedback | undefined
    readonly effort: Effort
    readonly taskElements: number
    /** Whether other machines are to find the same: source files are told apart by name instead of path. */
    readonly isPortable?: boolean
  },
): Promise<string> {
  const hash = createHash('sha256')
  const add = (value: unknown): void => void hash.update(`${JSON.stringify(value)}\n`)
  if (blueprint.adapters !== undefined) add(blueprint.adapters)
  add(['output', 3, options.taskElements, options.effort, options.feedback?.calibration.digest ?? null])
  hash.update(await readFile(require.resolve('#kernels.wasm')))
  for (const [index, file] of blueprint.files.entries()) {
    const content = blueprint.contents?.[index]
    if (content !== undefined) {
      add([basename(file), content])
      continue
    }
    const { size, mtimeNs } = await stat(file, { bigint: true })
    add([options.isPortable === true ? basename(file) : file, String(size), String(mtimeNs)])
  }
  for (const { path, header, fileBytes } of layout.parts) {
    add([basename(path), fileBytes])
    hash.update(header)
  }
  for (const { name, recipe } of blueprint.tensors) {
    const importance = options.importance?.(name)
    add([name, recipe, importance?.length ?? null, options.feedback?.dampingOf(name) ?? null])
    if (importance !== undefined) hash.update(new Uint8Array(importance.buffer, importance.byteOffset, importance.byteLength))
  }
  return hash.digest('hex')
}
