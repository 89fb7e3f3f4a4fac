import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { boundedPattern } from '../../../../formats/bounded-pattern.js'
import type { Blueprint } from '../../../../src/model/blueprint.js'
import { parseBlockRange } from '../../../../src/plan/allocate/block-ranges.js'
import { knownMixtures, planMixture, readMixture } from '../../../../src/plan/allocate/index.js'
import type { Plan } from '../../../../src/plan/plan.js'
import { blueprintOf, deepseekR1 } from './blueprints.js'

const typesOf = ({ tensors }: Plan): Record<string, string> => Object.fromEntries(tensors.map(({ name, type }) => [name, type]))

function countTypes(plan: Plan, pattern: RegExp): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { name, type } of plan.tensors) if (pattern.test(name)) counts[type] = (counts[type] ?? 0) + 1
  return counts
}

const block = (layer: number): [string, number[]][] =>
  [
    ['attn_q', [256, 256]],
    ['attn_v', [256, 256]],
    ['ffn_gate', [512, 256]],
    ['ffn_down', [256, 512]],
    ['attn_norm', [256]],
  ].map(([name, shape]) => [`blk.${layer}.${name as string}.weight`, shape as number[]])

function dense(layers: number, tied = false): Blueprint {
  const outside: [string, number[]][] = [['token_embd.weight', [32, 256]]]
  if (!tied) outside.push(['output.weight', [32, 256]])
  const tensors = [...outside, ...Array.from({ length: layers }, (_, layer) => block(layer)).flat()]
  return blueprintOf({ architecture: 'llama', layers, experts: 0, heads: 8, groups: 8, tensors })
}

describe('mixtures that come with mq', () => {
  it('gives DeepSeek-R1 the types and the size of Unsloth’s file of 211 GiB', async () => {
    const plan = planMixture(deepseekR1(), await readMixture('unsloth-q2_k_xl'))
    // Counted in the published file: 171 and 3 expert tensors.
    expect(countTypes(plan, /_exps/)).toEqual({ Q2_K: 171, Q3_K: 3 })
    expect(countTypes(plan, /attn_(q_a|q_b|output)\.weight|token_embd|(gate|up)(_shexp)?\.weight/)).toEqual({ Q4_K: 306 })
    expect(countTypes(plan, /attn_kv_a_mqa|ffn_down(_shexp)?\.weight|^output\.weight/)).toEqual({ Q6_K: 123 })
    expect(Math.abs(plan.dataBytes / 2 ** 30 - 211)).toBeLessThan(1)
  })

  it.each([
    ['unsloth-iq1_s', 131],
    ['unsloth-iq2_xxs', 183],
  ])('%s brings DeepSeek-R1 to within 1 % of the %i GiB that Unsloth publishes', async (name, gibibytes) => {
    const plan = planMixture(deepseekR1(), await readMixture(name))
    expect(Math.abs(plan.dataBytes / 2 ** 30 / gibibytes - 1)).toBeLessThan(0.01)
  })

  it('all can be read, and say where they come from', async () => {
    const names = await knownMixtures()
    expect(names).toContain('unsloth-q2_k_xl')
    for (const name of names) expect((await readMixture(name)).source, name).not.toBe('')
  })

  it('builds on a preset', async () => {
    const types = typesOf(planMixture(dense(8), await readMixture('bartowski-q4_k_l')))
    expect(types).toMatchObject({ 'token_embd.weight': 'Q8_0', 'output.weight': 'Q8_0', 'blk.0.ffn_down.weight': 'Q6_K' })
    expect(types).toMatchObject({ 'blk.1.ffn_down.weight': 'Q4_K', 'blk.1.attn_norm.weight': 'F32' })
  })
})

describe('rules', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-mixtures-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  async function read(mixture: unknown): ReturnType<typeof readMixture> {
    const path = join(folder, 'mine.json')
    await writeFile(path, typeof mixture === 'string' ? mixture : JSON.stringify(mixture))
    return await readMixture(path)
  }
  const mixture = (rules: unknown, rest: object = { default: 'Q4_K' }): object => ({
    version: 1,
    description: '',
    source: '',
    rules,
    ...rest,
  })

  it('hold by role, name and block, the first that does, and --tensor-type goes before them', async () => {
    const mine = await read(
      mixture([
        { names: 'blk\\.2\\.attn_q', type: 'q8_0' },
        { roles: ['ffn-down'], blocks: 'first 1/8, last 1', type: 'Q5_K', why: 'ends' },
        { roles: ['attention-q', 'ffn-down'], type: 'Q2_K' },
      ]),
    )
    const overrides = [{ pattern: boundedPattern('blk\\.3\\.attn_q'), type: 'Q6_K', spec: 'blk.3=Q6_K' } as const]
    const plan = planMixture(dense(9), mine, { overrides })
    const types = typesOf(plan)
    const ofBlocks = (name: string): (string | undefined)[] =>
      Array.from({ length: 9 }, (_, layer) => types[`blk.${layer}.${name}.weight`])
    expect(ofBlocks('ffn_down')).toEqual(['Q5_K', 'Q5_K', ...Array(6).fill('Q2_K'), 'Q5_K'])
    expect(ofBlocks('attn_q')).toEqual(['Q2_K', 'Q2_K', 'Q8_0', 'Q6_K', ...Array(5).fill('Q2_K')])
    expect(ofBlocks('ffn_gate')).toEqual(Array(9).fill('Q4_K'))
    expect(plan.goal).toBe('mixture mine, blk.3=Q6_K')
    expect(plan.tensors.find(({ name }) => name === 'blk.0.ffn_down.weight')?.reason).toBe('Rule 2 of mine: ends.')
  })

  it('of the output hold for an embedding that is the output, and those for experts for no dense model', async () => {
    const rules = [
      { model: 'experts', roles: ['embedding', 'output'], type: 'Q2_K' },
      { model: 'dense', roles: ['output'], type: 'Q6_K' },
    ]
    const mine = await read(mixture(rules))
    expect(typesOf(planMixture(dense(1, true), mine))['token_embd.weight']).toBe('Q6_K')
    expect(typesOf(planMixture(dense(1), mine))).toMatchObject({ 'token_embd.weight': 'Q4_K', 'output.weight': 'Q6_K' })
  })

  it.each([
    ['{', /not JSON/],
    [mixture([{ type: 'Q4_K', roles: ['atention-q'] }]), /rule 1: roles: there is no role "atention-q"/],
    [
      mixture([
        { type: 'Q4_K', names: 'a' },
        { type: 'Q9_K', names: 'a' },
      ]),
      /rule 2: type: there is no type "Q9_K"/,
    ],
    [mixture([{ type: 'Q4_K', names: '(' }]), /rule 1: names: Invalid regular expression/],
    [mixture([{ type: 'Q4_K', names: 'a', blocks: '5-3' }]), /rule 1: blocks: "5-3" is not a range/],
    [mixture([{ type: 'Q4_K' }]), /rule 1: it has none of roles, names and blocks/],
    [mixture([{ type: 'Q4_K', names: 'a', layer: 3 }]), /rule 1: layer: /],
    [mixture([], {}), /exactly one of default and preset is needed/],
    [mixture([], { preset: 'Q4_K_Z' }), /preset: there is no such preset/],
    [[], /version/],
  ])('refuses %j', async (json, problem) => {
    await expect(read(json)).rejects.toMatchObject({ code: 'MIXTURE_INVALID', message: expect.stringMatching(problem) })
  })

  it('names what is there where a name is not', async () => {
    await expect(readMixture('unsloth-q9')).rejects.toMatchObject({
      code: 'MIXTURE_UNKNOWN',
      suggestion: expect.stringContaining('unsloth-q2_k_xl'),
    })
    await expect(readMixture('no/such.json')).rejects.toMatchObject({ code: 'FILE_MISSING' })
  })
})

describe('ranges of blocks', () => {
  it.each([
    ['3', [3]],
    ['2-3, 5', [2, 3, 5]],
    ['first 2', [1, 2]],
    ['last 2', [4, 5]],
    ['first 1/8', [1]],
    ['first 1/2', [1, 2, 3]],
    ['last 2/5', [4, 5]],
  ])('%s of the blocks 1 to 5', (text, expected) => {
    const range = parseBlockRange(text)
    const layers = [1, 2, 3, 4, 5]
    expect(layers.filter((layer, index) => range?.({ layer, index, count: 5 }))).toEqual(expected)
  })

  it.each(['', 'first', 'first 1/0', '-3', '1-', 'all', '1,,2', 'last 1/8/9'])('%j is none', (text) => {
    expect(parseBlockRange(text)).toBeUndefined()
  })
})
