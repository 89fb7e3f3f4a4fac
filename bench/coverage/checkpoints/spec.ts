import type { SafetensorsDtype } from '../../../formats/safetensors/index.js'

export type Json = Readonly<Record<string, unknown>>

/** A tensor of a checkpoint: name, shape and element type. */
export interface TensorSpec {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: SafetensorsDtype
}

/** How the values of some tensors are drawn: mean + deviation * noise. The first rule whose expression matches the name wins. */
export type ValueRule = readonly [pattern: RegExp, mean: number, deviation: number]

/**
 * A tiny checkpoint in the form of a published one. Its config.json, in the hub's spelling, and the table of its tensors lie in the folder
 * cases/NAME; its values follow from the names.
 */
export interface CheckpointSpec {
  /** Name of the case, of its golden file and of its folder: lower case with hyphens. */
  readonly name: string
  /** Names that `architectures` of config.json takes one after the other; llama.cpp's converter does the same with all of them. */
  readonly classes: readonly [string, ...string[]]
  /** What general.architecture will be. */
  readonly arch: string
  /** Name of the case whose folder has its config.json and tensors; by default its own. */
  readonly checkpoint?: string
  /** Element type of the tensors whose line names none; by default BF16. */
  readonly dtype?: SafetensorsDtype
  readonly values?: readonly ValueRule[]
  /** Tokenizer and further files by name: text or bytes as they are, everything else as JSON. */
  readonly files: Readonly<Record<string, unknown>>
  /** What llama.cpp calls the pre-tokenizer; its converter knows it by a hash of the published vocabulary alone. */
  readonly pre: string
  /** Whether it has Mistral's own form: params.json and consolidated.safetensors, in the place of config.json and model.safetensors. */
  readonly mistralFormat?: boolean
  /** Whether it predicts no next token: there is no perplexity. */
  readonly encoder?: boolean
  /** Why transformers cannot run it. */
  readonly withoutTransformers?: string
  /** Why transformers is kept from reading config.json when llama.cpp's converter runs; it then reads the file itself. */
  readonly plainConfig?: string
  /** Further arguments of llama.cpp's converter, and those of `mq convert` that mean the same. */
  readonly options?: { readonly upstream: readonly string[]; readonly mq: readonly string[] }
}

/**
 * Reads a table of tensors: a name and its dimensions a line, and where it differs from the others the element type. `{0-3}` and `{0,2}` in
 * a name stand for each of these numbers.
 * @example parseTensors('model.layers.{0-1}.mlp.gate_proj.weight 128 64', 'BF16')
 * @throws RangeError where a line is not of this form, or a name stands twice.
 */
export function parseTensors(table: string, dtype: SafetensorsDtype): TensorSpec[] {
  const found = new Map<string, TensorSpec>()
  for (const line of table.split('\n')) {
    const [pattern, ...rest] = line.trim().split(/\s+/)
    if (pattern === undefined || pattern === '') continue
    const last = rest.at(-1) ?? ''
    const own = /^[A-Z]/.test(last) ? (rest.pop() as SafetensorsDtype) : undefined
    const shape = rest.map(Number)
    if (shape.some((size) => !Number.isSafeInteger(size) || size < 1)) throw new RangeError(`This is no tensor: ${line}`)
    for (const name of expand(pattern)) {
      if (found.has(name)) throw new RangeError(`${name} appears twice`)
      found.set(name, { name, shape, dtype: own ?? dtype })
    }
  }
  return [...found.values()]
}

/** `a.{0-1}.b.{2,5}` is a.0.b.2, a.0.b.5, a.1.b.2, a.1.b.5. */
function expand(pattern: string): string[] {
  const match = /^(.*?)\{([\d,-]+)\}(.*)$/.exec(pattern)
  if (match === null) return [pattern]
  const [, before = '', list = '', after = ''] = match
  const numbers = list.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
  return numbers.flatMap((number) => expand(after).map((end) => `${before}${number}${end}`))
}
