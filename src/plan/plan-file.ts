import { open, stat } from 'node:fs/promises'
import * as v from 'valibot'
import { findGgmlType, type GgmlTypeName } from '../../formats/ggml/types.js'
import { isDamping } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { writeWhole } from '../files/index.js'
import { cacheTypes } from '../footprint/index.js'
import { tensorRoles, widthKeys } from '../model/index.js'
import type { Plan, PlanTensor } from './plan.js'
import { planOf, tensorProblem } from './plan-sizes.js'

/** A plan is some 200 bytes a tensor: this holds a model of 300 thousand tensors. */
const maxPlanBytes = 64 * 2 ** 20
const maxTensors = 2 ** 20

const text = v.pipe(v.string(), v.maxLength(10_000))
const amount = v.pipe(v.number(), v.finite(), v.minValue(0))
const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const tensorSchema = v.strictObject({
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(63)),
  role: v.picklist(tensorRoles),
  layer: v.optional(wholeNumber),
  shape: v.pipe(v.array(v.pipe(v.number(), v.safeInteger(), v.minValue(1))), v.maxLength(4)),
  type: v.pipe(
    v.string(),
    v.check((name) => findGgmlType(name) !== undefined, 'not a type of ggml'),
    v.transform((name) => findGgmlType(name)?.name as GgmlTypeName),
  ),
  modelElements: v.optional(wholeNumber),
  sizeBytes: v.optional(wholeNumber),
  relativeError: v.optional(amount),
  damping: v.optional(v.pipe(amount, v.check(isDamping, 'a damping is 0, for no feedback, or from 0.0001 to 10000'))),
  reason: v.optional(text, ''),
})

const specs = v.optional(v.pipe(v.array(text), v.maxLength(10_000)))
const exceptions = { tensorTypes: specs, floors: specs, ties: specs, candidates: specs }

const requestSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('bits'), bits: amount, ...exceptions }),
  v.strictObject({ kind: v.literal('size'), size: text, ...exceptions }),
  v.strictObject({
    kind: v.literal('fit'),
    memory: text,
    context: wholeNumber,
    cacheType: v.picklist(cacheTypes),
    ...exceptions,
  }),
  v.strictObject({ kind: v.literal('preset'), preset: text, ...exceptions }),
  v.strictObject({ kind: v.literal('mixture'), mixture: text, ...exceptions }),
  v.strictObject({ kind: v.literal('type'), type: text, ...exceptions }),
])

const adapterSchema = v.strictObject({
  name: text,
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  scale: v.pipe(v.number(), v.finite()),
})

const planSchema = v.strictObject({
  version: v.literal(1),
  architecture: v.pipe(text, v.minLength(1)),
  goal: text,
  request: v.optional(requestSchema),
  fileType: v.pipe(wholeNumber, v.maxValue(2 ** 31 - 1)),
  bitsPerWeight: v.optional(amount),
  widths: v.optional(v.record(v.picklist(widthKeys), v.union([wholeNumber, v.array(wholeNumber)]))),
  smoothing: v.optional(v.record(v.string(), v.pipe(v.string(), v.regex(/^[a-y]*$/), v.maxLength(2 ** 20)))),
  dataBytes: v.optional(wholeNumber),
  adapters: v.optional(v.pipe(v.array(adapterSchema), v.maxLength(1000))),
  calibration: v.optional(v.pipe(v.string(), v.maxLength(200))),
  notes: v.optional(v.pipe(v.array(text), v.maxLength(1000)), []),
  tensors: v.pipe(v.array(tensorSchema), v.minLength(1), v.maxLength(maxTensors)),
})

/**
 * Reads a plan. Sizes are worked out anew from shapes and types, so that a user may change a type and nothing else.
 * @throws MqError PLAN_INVALID; FILE_MISSING and the like.
 */
export async function readPlan(path: string): Promise<Plan> {
  const invalid = (problem: string, cause?: unknown): MqError =>
    MqError.of('PLAN_INVALID', { file: path, problem }, cause === undefined ? undefined : { cause })
  let json: unknown
  try {
    json = JSON.parse(await readBounded(path, invalid))
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid(`it is not JSON (${error.message})`, error)
    throw MqError.from(error, path)
  }
  const parsed = v.safeParse(planSchema, json)
  if (!parsed.success) throw invalid(describe(parsed.issues[0]))
  const { tensors, ...rest } = parsed.output
  const names = new Set<string>()
  for (const tensor of tensors) {
    if (names.has(tensor.name)) throw invalid(`it has the tensor ${tensor.name} twice`)
    names.add(tensor.name)
    const problem = tensorProblem(tensor.shape, tensor.type)
    if (problem !== undefined) throw invalid(`the tensor ${tensor.name}: ${problem}`)
  }
  return planOf(rest, tensors)
}

/**
 * Writes a plan as JSON with the same order of keys each time and one tensor a line, so that two plans can be compared line by line.
 * @param options.force replaces a file that is there already.
 * @throws MqError OUTPUT_EXISTS, FILE_UNWRITABLE, DISK_FULL.
 */
export async function writePlan(path: string, plan: Plan, options: { readonly force?: boolean } = {}): Promise<void> {
  if (options.force !== true && (await exists(path))) throw MqError.of('OUTPUT_EXISTS', { path })
  await writeWhole(path, planText(plan))
}

/** What stands before a plan's tensors, in the order of the file. */
const headingKeys = [
  'version',
  'architecture',
  'goal',
  'request',
  'fileType',
  'bitsPerWeight',
  'widths',
  'smoothing',
  'dataBytes',
  'adapters',
  'calibration',
  'notes',
] as const satisfies readonly (keyof Plan)[]

/** The text of a plan file. */
export function planText(plan: Plan): string {
  // JSON leaves out what is absent.
  const heading = Object.fromEntries(headingKeys.map((key) => [key, plan[key]]))
  const head = JSON.stringify(heading, undefined, 2)
  const lines = plan.tensors.map((tensor) => `    ${tensorLine(tensor)}`)
  return `${head.slice(0, -2)},\n  "tensors": [\n${lines.join(',\n')}\n  ]\n}\n`
}

function tensorLine({
  name,
  role,
  layer,
  shape,
  modelElements,
  type,
  sizeBytes,
  relativeError,
  damping,
  reason,
}: PlanTensor): string {
  // An absent layer or error is left out by JSON itself.
  return JSON.stringify({ name, type, role, layer, shape, modelElements, sizeBytes, relativeError, damping, reason })
}

async function readBounded(path: string, invalid: (problem: string) => MqError): Promise<string> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size > maxPlanBytes) throw invalid(`it has ${size} bytes, more than the limit of ${maxPlanBytes}`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function describe(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue)
  const what = issue.message.length > 200 ? `${issue.message.slice(0, 200)}...` : issue.message
  return path === null ? what : `${path}: ${what}`
}
