import * as v from 'valibot'
import { type BoundedPattern, boundedPattern } from '../../../formats/bounded-pattern.js'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { type TensorRole, tensorRoles } from '../../model/index.js'
import { type BlockRange, parseBlockRange } from './block-ranges.js'
import { presetName } from './presets.js'
import { weightType } from './tensor-types.js'

/** One rule: the type of the tensors that all its conditions hold for. */
export interface MixtureRule {
  readonly type: GgmlTypeName
  /** Any of these; `output` holds for an embedding, too, where that is the output matrix. */
  readonly roles?: readonly TensorRole[] | undefined
  /** Found in the tensor's name. */
  readonly names?: BoundedPattern
  /** Among the blocks whose tensors the other conditions hold for. */
  readonly blocks?: BlockRange | undefined
  /** Whether the model has routed experts. */
  readonly model?: 'dense' | 'experts' | undefined
  /** A sentence's part: why. */
  readonly why?: string | undefined
}

/** A mixture of types as a data file: the first rule that matches gives a tensor's type. */
export interface Mixture {
  readonly name: string
  readonly description: string
  /** Where it comes from. */
  readonly source: string
  /** Of tensors that no rule holds for: a type, or what a preset of llama.cpp gives them. */
  readonly default?: GgmlTypeName | undefined
  readonly preset?: string | undefined
  readonly rules: readonly MixtureRule[]
}

const words = v.pipe(v.string(), v.maxLength(2000))

const type = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const found = weightType(dataset.value)
    if (found !== undefined) return found
    addIssue({ message: `there is no type ${quoted(dataset.value)}` })
    return NEVER
  }),
)

const names = v.pipe(
  v.string(),
  v.maxLength(500),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    try {
      return boundedPattern(dataset.value)
    } catch (error) {
      addIssue({ message: (error as Error).message })
      return NEVER
    }
  }),
)

const blocks = v.pipe(
  v.string(),
  v.maxLength(500),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const range = parseBlockRange(dataset.value)
    if (range !== undefined) return range
    addIssue({ message: `${quoted(dataset.value)} is not a range such as 3, 3-5, first 3 or last 1/8` })
    return NEVER
  }),
)

const rule = v.pipe(
  v.strictObject({
    type,
    roles: v.optional(v.pipe(v.array(v.picklist(tensorRoles, ({ received }) => `there is no role ${received}`)), v.minLength(1))),
    names: v.optional(names),
    blocks: v.optional(blocks),
    model: v.optional(v.picklist(['dense', 'experts'])),
    why: v.optional(words),
  }),
  v.check(
    (rule) => rule.roles !== undefined || rule.names !== undefined || rule.blocks !== undefined,
    'it has none of roles, names and blocks and would match every tensor; use default instead',
  ),
)

const schema = v.pipe(
  v.strictObject({
    version: v.literal(1),
    description: words,
    source: words,
    default: v.optional(type),
    preset: v.optional(
      v.pipe(
        v.string(),
        v.check((name) => presetName(name) !== undefined, 'there is no such preset'),
      ),
    ),
    rules: v.pipe(v.array(rule), v.maxLength(1000)),
  }),
  v.check((file) => (file.default === undefined) !== (file.preset === undefined), 'exactly one of default and preset is needed'),
)

/** A mixture from the JSON of its file, or what is wrong with it, and in which rule, counted from 1. */
export function parseMixture(name: string, json: unknown): Mixture | { readonly problem: string } {
  const parsed = v.safeParse(schema, json)
  if (parsed.success) {
    const { version: _, ...rest } = parsed.output
    return { name, ...rest }
  }
  const [issue] = parsed.issues
  const [first, second, ...rest] = (issue.path ?? []).map(({ key }) => String(key))
  const inRule = first === 'rules' && second !== undefined
  const place = inRule ? [`rule ${Number(second) + 1}`, ...rest.slice(0, 1)] : [first, second].filter((key) => key !== undefined)
  const message = issue.message.length > 200 ? `${issue.message.slice(0, 200)}...` : issue.message
  return { problem: [...place, message].join(': ') }
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 50 ? `${text.slice(0, 50)}...` : text)
}
