import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { mqVersion } from '../../registry/index.js'
import type { Json, Unit } from './step.js'

const require = createRequire(import.meta.url)

let known: string | undefined

/** What results depend on beside a unit's description: the version of mq, and its kernels, which change between versions while it is developed. */
export function unitVersion(): string {
  known ??= `${mqVersion()}+${sha256(readFileSync(require.resolve('#kernels.wasm'))).slice(0, 12)}`
  return known
}

/** The digest that names a unit's result. */
export function unitKey({ version, kind, options, inputs }: Unit): string {
  return sha256(canonical({ unit: 1, version, kind, options, inputs }))
}

/** One digest for files with names. */
export function digestOfList(files: readonly { readonly name: string; readonly sha256: string }[]): string {
  const [first] = files
  if (files.length === 1 && first !== undefined) return first.sha256
  return sha256(canonical(files.map(({ name, sha256 }) => [name, sha256])))
}

function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** JSON with keys in the order of their names, those without a value left out. */
function canonical(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (isList(value)) return `[${value.map(canonical).join(',')}]`
  const entries = Object.entries(value).filter((entry): entry is [string, Json] => entry[1] !== undefined)
  return `{${entries
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
    .join(',')}}`
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}
