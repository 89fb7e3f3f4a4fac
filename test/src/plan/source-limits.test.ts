import { describe, expect, it } from 'vitest'
import { type GgmlTypeName, ggmlBytes, ggmlType } from '../../../formats/ggml/types.js'
import type { Blueprint } from '../../../src/model/index.js'
import { encodingOf, makePlan, type Plan, type PlanRequest, typicalMeasure } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { ggml } from '../../../src/recipe/index.js'
import { blueprintOf } from './allocate/blueprints.js'

/** One block of a model with rows of `width` values in its attention. */
function narrow(width: number): Blueprint {
  const tensors: [string, number[]][] = [
    ['token_embd.weight', [512, 256]],
    ['output.weight', [512, 256]],
    ['blk.0.attn_norm.weight', [256]],
    ['blk.0.attn_q.weight', [256, width]],
    ['blk.0.attn_k.weight', [256, width]],
    ['blk.0.ffn_down.weight', [256, 256]],
  ]
  return blueprintOf({ architecture: 'llama', layers: 1, experts: 0, heads: 4, groups: 4, tensors })
}

/** The same as a GGUF has it whose matrices are of one type. */
function stored(type: GgmlTypeName): Blueprint {
  const blueprint = narrow(256)
  const tensors = blueprint.tensors.map((tensor) => {
    const held = tensor.keepF32 ? 'F32' : type
    const bytes = ggmlBytes(
      held,
      tensor.shape.reduce((a, b) => a * b),
    )
    return { ...tensor, recipe: ggml(held, { file: 0, start: 0, end: bytes }, tensor.shape) }
  })
  return { ...blueprint, tensors, sourceType: 'F16' }
}

const planFor = (blueprint: Blueprint, request: PlanRequest): Promise<Plan> =>
  finish(makePlan(blueprint, request, { measure: typicalMeasure }))

describe('a type that rows do not fit', () => {
  it('is counted in a note, by what tensors got instead', async () => {
    const preset = await planFor(narrow(96), { kind: 'preset', preset: 'Q4_K_M' })
    expect(preset.notes).toEqual(['2 of 6 tensors have rows that are not whole blocks of Q4_K and got Q5_0.'])
    const type = await planFor(narrow(100), { kind: 'type', type: 'Q4_K', tensorTypes: ['attn_q=Q6_K'] })
    expect(type.notes).toEqual([
      '1 of 6 tensors have rows that are not whole blocks of Q6_K and got F16.',
      '1 of 6 tensors have rows that are not whole blocks of Q4_K and got F16.',
    ])
    expect((await planFor(narrow(256), { kind: 'preset', preset: 'Q4_K_M' })).notes).toEqual([])
  })

  it('is counted where a budget could not choose it', async () => {
    const { notes, tensors } = await planFor(narrow(96), { kind: 'bits', bits: 6 })
    const got = tensors.filter(({ shape }) => shape.at(-1) === 96).map(({ type }) => type)
    expect(got.every((type) => ggmlType(type).blockSize === 32)).toBe(true)
    expect(notes.filter((note) => note.includes('not whole blocks'))).toEqual([
      expect.stringMatching(/^2 of 6 tensors have rows that are not whole blocks of 256 values, and got [A-Z]/),
    ])
  })
})

describe('a budget', () => {
  it.each<GgmlTypeName>(['MXFP4', 'Q4_0'])('keeps what is %s already, however much it may spend', async (type) => {
    const { tensors, dataBytes } = await planFor(stored(type), { kind: 'bits', bits: 12 })
    expect(tensors.filter(({ type }) => type !== 'F32').map(({ type, relativeError }) => [type, relativeError])).toEqual(
      Array.from({ length: 5 }, () => [type, 0]),
    )
    const matrices = 512 * 256 * 2 + 256 * 256 * 3
    expect(dataBytes).toBe(ggmlBytes(type, matrices) + 4 * 256)
  })

  it('still makes it smaller where there is less to spend', async () => {
    const { tensors, bitsPerWeight } = await planFor(stored('Q4_0'), { kind: 'bits', bits: 3.5 })
    expect(bitsPerWeight).toBeLessThanOrEqual(3.5)
    expect(tensors.every(({ type, shape }) => shape.length === 1 || ggmlType(type).bitsPerWeight <= 4.5)).toBe(true)
  })

  it('that is impossible says what is in its way', async () => {
    await expect(planFor(narrow(96), { kind: 'bits', bits: 1.6 })).rejects.toMatchObject({
      code: 'BUDGET_IMPOSSIBLE',
      message: expect.stringMatching(
        /floors of .*output.*2 tensors whose rows \(96 values: .*\) are not whole blocks of a smaller type/,
      ),
    })
    const fixed = { kind: 'bits', bits: 2, tensorTypes: ['token_embd=F16'] } as const
    await expect(planFor(narrow(256), fixed)).rejects.toThrow(/1 tensor whose type is set by name \(\d+ %\)/)
  })
})

describe('types of fewer than 3 bits', () => {
  const low = { kind: 'type', type: 'IQ2_XS' } as const
  const note = expect.stringMatching(/^5 of 6 tensors have types of fewer than 3 bits \(IQ2_XS\)/)

  it('ask for importance, unless there is some or the source has them', async () => {
    expect((await planFor(narrow(256), low)).notes).toEqual([note])
    const importance = (): undefined => undefined
    expect((await finish(makePlan(narrow(256), low, { importance }))).notes).toEqual([])
    expect((await planFor(stored('IQ2_XS'), { kind: 'bits', bits: 8 })).notes).toEqual([
      expect.stringContaining('Every tensor has the highest type'),
    ])
  })
})

it.each(['Q1_0', 'Q2_0', 'TQ1_0', 'TQ2_0'] as const)(
  '%s is for models that were trained in it, which a note says',
  async (type) => {
    const { notes } = await planFor(narrow(256), { kind: 'type', type })
    expect(notes).toEqual([
      `5 of 6 tensors have a type for models that were trained in it (${type}): any other model is unusable in it.`,
    ])
  },
)

describe('further candidates', () => {
  const importance = (): Float32Array => new Float32Array(192).fill(1)
  const low = { kind: 'bits', bits: 2.6, candidates: ['q2_0'] } as const

  it('are chosen where rows fit nothing smaller, with a note on runtimes', async () => {
    await expect(planFor(narrow(192), { kind: 'bits', bits: 2.6 })).rejects.toMatchObject({ code: 'BUDGET_IMPOSSIBLE' })
    const plan = await finish(makePlan(narrow(192), low, { measure: typicalMeasure, importance }))
    expect(plan.tensors.filter(({ type }) => type === 'Q2_0').map(({ name }) => name)).toEqual(
      expect.arrayContaining(['blk.0.attn_q.weight']),
    )
    expect(plan.notes.filter((note) => note.includes('older runtimes'))).toEqual([
      expect.stringMatching(/^\d of 6 tensors have Q2_0, which llama\.cpp reads from 0\.5\.0 on; older runtimes may not\.$/),
    ])
    expect(plan.request).toMatchObject({ candidates: ['q2_0'] })
    expect(plan.goal).toBe('2.6 bits per weight, also q2_0')
  })

  it.each(['q9_0', 'f16', ''])('%s is none', async (name) => {
    await expect(planFor(narrow(192), { ...low, candidates: [name] })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      details: { option: 'candidates', value: name },
    })
  })
})

describe('a request', () => {
  it('of no kind is refused', async () => {
    await expect(planFor(narrow(256), { bits: 3 } as never)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })

  it('names the file, and so does the plan that was made of it', async () => {
    const asked: [PlanRequest, string, string | RegExp][] = [
      [{ kind: 'preset', preset: 'q4_k_m' }, 'Q4_K_M', 'Q4_K_M'],
      [{ kind: 'type', type: 'q8_0', tensorTypes: ['attn=F16'] }, 'Q8_0', 'Q8_0'],
      [{ kind: 'size', size: { bytes: 1e6, text: '1 MB' } }, '1MB', /^\d+\.\d\dbpw$/],
      [{ kind: 'bits', bits: 8 }, '8bpw', /^[78]\.\d\dbpw$/],
    ]
    for (const [request, encoding, ofPlan] of asked) {
      expect(encodingOf(request)).toBe(encoding)
      expect(encodingOf({ kind: 'plan', plan: await planFor(narrow(256), request) })).toMatch(ofPlan)
    }
  })
})
