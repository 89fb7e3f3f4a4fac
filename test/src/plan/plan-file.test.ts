import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Blueprint, tensorRoles } from '../../../src/model/blueprint.js'
import { checkPlan } from '../../../src/plan/check-plan.js'
import type { Plan } from '../../../src/plan/plan.js'
import { planText, readPlan, writePlan } from '../../../src/plan/plan-file.js'
import { plain } from '../../../src/recipe/index.js'

let folder = ''
let path = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-plan-'))
  path = join(folder, 'plan.json')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const plan: Plan = {
  version: 1,
  architecture: 'llama',
  goal: '6 bits per weight',
  request: { kind: 'bits', bits: 6 },
  fileType: 7,
  // 2 x 34 bytes and 64 x 4 bytes for 128 elements.
  bitsPerWeight: (8 * (68 + 256)) / 128,
  smoothing: { 'b.weight': 'mnl' },
  dataBytes: 68 + 256,
  notes: ['a note'],
  tensors: [
    { name: 'a.weight', role: 'ffn-up', layer: 3, shape: [2, 32], type: 'Q8_0', sizeBytes: 68, relativeError: 1e-4, reason: 'x' },
    { name: 'b.weight', role: 'norm', shape: [64], type: 'F32', sizeBytes: 256, reason: 'y' },
  ],
}

const blueprint: Blueprint = {
  architecture: 'llama',
  layers: 4,
  experts: 0,
  metadata: new Map(),
  files: ['file'],
  tensors: plan.tensors.map(({ name, role, layer, shape, type }) => ({
    name,
    role,
    layer,
    shape,
    keepF32: type === 'F32',
    recipe: plain('F32', { file: 0, start: 0, end: 256 }, shape),
  })),
  sourceType: 'F32',
  notes: [],
}

const [first, second] = plan.tensors as [Plan['tensors'][0], Plan['tensors'][0]]

describe('a plan file', () => {
  test('comes back as it was, one tensor a line', async () => {
    await writePlan(path, plan)
    expect(await readPlan(path)).toEqual(plan)
    const lines = (await readFile(path, 'utf8')).split('\n')
    expect(lines.filter((line) => line.includes('"name"'))).toHaveLength(2)
    expect(lines).toContain('    {"name":"b.weight","type":"F32","role":"norm","shape":[64],"sizeBytes":256,"reason":"y"}')
    expect(await readdir(folder)).toEqual(['plan.json'])
  })

  test('is not overwritten but by force', async () => {
    await writePlan(path, plan)
    await expect(writePlan(path, plan)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
    await writePlan(path, { ...plan, goal: 'another' }, { force: true })
    expect((await readPlan(path)).goal).toBe('another')
  })

  test('in a folder that is not there cannot be written', async () => {
    await expect(writePlan(join(folder, 'none', 'plan.json'), plan)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' })
  })

  test('may be edited by hand: sizes follow from types, and types from any case', async () => {
    const edited = { ...plan, dataBytes: 1, bitsPerWeight: 99, tensors: [{ ...first, type: 'f16' }, second] }
    await writeFile(path, JSON.stringify(edited))
    const { tensors, dataBytes, bitsPerWeight } = await readPlan(path)
    expect(tensors[0]).toMatchObject({ type: 'F16', sizeBytes: 128 })
    expect({ dataBytes, bitsPerWeight }).toEqual({ dataBytes: 384, bitsPerWeight: 24 })
  })

  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['another version', { ...plan, version: 2 }],
    ['no tensors', { ...plan, tensors: [] }],
    ['a key that does not belong', { ...plan, shards: 3 }],
    ['an unknown type', { ...plan, tensors: [{ ...first, type: 'Q4_X' }] }],
    ['an unknown role', { ...plan, tensors: [{ ...first, role: 'wing' }] }],
    ['a tensor twice', { ...plan, tensors: [first, first] }],
    ['a broken shape', { ...plan, tensors: [{ ...first, shape: [2, 0] }] }],
    ['a shape beyond numbers', { ...plan, tensors: [{ ...first, shape: [2 ** 40, 2 ** 40] }] }],
    ['rows that are not whole blocks', { ...plan, tensors: [{ ...first, shape: [2, 33] }] }],
    ['a size below nothing', { ...plan, tensors: [{ ...first, sizeBytes: -1 }] }],
  ])('with %s is refused in one line', async (_, content) => {
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
    const error = await readPlan(path).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'PLAN_INVALID' })
    expect((error as Error).message).not.toContain('\n')
  })

  test('that is not there is said so', async () => {
    await expect(readPlan(path)).rejects.toMatchObject({ code: 'FILE_MISSING' })
  })

  test('of any content is a plan or PLAN_INVALID', async () => {
    const anyTensor = fc.record({
      name: fc.oneof(fc.string(), fc.constant('a')),
      role: fc.oneof(fc.constantFrom(...tensorRoles), fc.string()),
      shape: fc.array(fc.oneof(fc.nat(), fc.double()), { maxLength: 5 }),
      type: fc.oneof(fc.constantFrom('F32', 'q8_0', '__proto__', 'constructor'), fc.string()),
    })
    const anyPlan = fc.record({ ...mapConstant(plan), tensors: fc.array(anyTensor, { maxLength: 3 }) })
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyPlan, fc.json(), fc.jsonValue()), async (content) => {
        await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
        const outcome = await readPlan(path).catch((error: unknown) => error)
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'PLAN_INVALID' })
        else expect(JSON.parse(planText(outcome as Plan))).toEqual(outcome)
      }),
      { numRuns: 200 },
    )
  })
})

function mapConstant(value: object): Record<string, fc.Arbitrary<unknown>> {
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, fc.constant(entry)]))
}

describe('a plan and a model', () => {
  test('fit in any order, and the order is that of the model', () => {
    expect(checkPlan({ ...plan, dataBytes: 0, tensors: [second, { ...first, sizeBytes: 0 }] }, blueprint)).toEqual(plan)
  })

  test.each<[string, Partial<Plan>]>([
    ['another architecture', { architecture: 'gemma2' }],
    ['a tensor missing', { tensors: [first] }],
    ['a tensor more', { tensors: [first, second, { ...second, name: 'c.weight' }] }],
    ['a tensor twice', { tensors: [first, second, second] }],
    ['another shape', { tensors: [{ ...first, shape: [32, 2] }, second] }],
    ['a type whose blocks do not fit', { tensors: [{ ...first, type: 'Q4_K' }, second] }],
    ['what has to stay F32 in F16', { tensors: [first, { ...second, type: 'F16' }] }],
  ])('with %s do not fit', (_, change) => {
    expect(() => checkPlan({ ...plan, ...change }, blueprint)).toThrow(expect.objectContaining({ code: 'PLAN_MISMATCH' }))
  })
})
