import { describe, expect, it } from 'vitest'
import type { GgmlTypeName } from '../../../../formats/ggml/types.js'
import { knownPresets, parseTensorTypes, planPreset } from '../../../../src/plan/allocate/index.js'
import { blueprintOf } from './blueprints.js'

const blueprint = blueprintOf({
  architecture: 'llama',
  layers: 2,
  experts: 0,
  heads: 4,
  groups: 4,
  tensors: [
    ['output.weight', [32, 256]],
    ['blk.0.attn_norm.weight', [256]],
    ['blk.0.attn_v.weight', [32, 256]],
    ['blk.0.ffn_down.weight', [32, 96]],
    ['blk.1.attn_v.weight', [32, 256]],
    ['blk.1.ffn_down.weight', [32, 100]],
  ],
})

describe('parseTensorTypes', () => {
  it('reads an expression and a type, in any case', () => {
    expect(parseTensorTypes(['blk\\.[0-3]\\..*=q6_k', 'a=b=F16'])).toMatchObject([
      { pattern: { source: 'blk\\.[0-3]\\..*' }, type: 'Q6_K', spec: 'blk\\.[0-3]\\..*=q6_k' },
      { pattern: { source: 'a=b' }, type: 'F16', spec: 'a=b=F16' },
    ])
  })

  it.each([
    ['ffn_down', 'it is not REGEX=TYPE'],
    ['=Q4_K', 'it is not REGEX=TYPE'],
    ['ffn=', 'there is no type ""'],
    ['ffn=Q4_M', 'there is no type Q4_M'],
    ['ffn=I32', 'there is no type I32'],
    ['ffn(=Q4_K', 'the regular expression is wrong'],
  ])('refuses %s', (spec, problem) => {
    expect(() => parseTensorTypes([spec])).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining(problem) }),
    )
  })
})

describe('planPreset', () => {
  const typesOf = (specs: readonly string[], preset = 'Q4_K_M'): string[] =>
    planPreset(blueprint, preset, { overrides: parseTensorTypes(specs) }).tensors.map(({ type }) => type)

  it('takes the first override that matches, and what is nearest where rows do not fit', () => {
    expect(typesOf(['0.attn_v=Q8_0', 'attn_v=Q2_K', 'ffn_down=Q4_K'])).toEqual(['Q6_K', 'F32', 'Q8_0', 'Q5_0', 'Q2_K', 'F16'])
  })

  it.each([
    ['attn_x=Q4_K', 'no tensor has such a name'],
    ['norm=Q4_K', 'it names only tensors that stay F32, such as blk.0.attn_norm.weight'],
  ])('refuses %s', (spec, problem) => {
    expect(() => typesOf([spec])).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining(problem) }),
    )
  })

  it('knows the aliases and case of llama-quantize', () => {
    expect(typesOf([], 'q4_k')).toEqual(typesOf([], 'Q4_K_M'))
    expect(planPreset(blueprint, 'q4_k').goal).toBe('preset Q4_K_M')
  })

  it.each(['Q9_K', 'constructor', ''])('refuses the preset "%s" and names those there are', (preset) => {
    expect(() => planPreset(blueprint, preset)).toThrow(
      expect.objectContaining({ code: 'PRESET_UNKNOWN', suggestion: expect.stringContaining('Q4_K_M, Q5_0') }),
    )
  })

  it('offers only presets whose types can be written', () => {
    const writable = (type: GgmlTypeName): boolean => ['Q4_K', 'Q6_K', 'Q8_0', 'Q5_0'].includes(type)
    expect(knownPresets(writable)).toEqual(['Q4_K_S', 'Q4_K_M', 'Q5_0', 'Q6_K', 'Q8_0', 'F16', 'BF16', 'F32'])
    expect(() => planPreset(blueprint, 'Q5_K_M', { writable })).toThrow(expect.objectContaining({ code: 'PRESET_UNKNOWN' }))
    expect(() => planPreset(blueprint, 'Q8_0', { writable, overrides: parseTensorTypes(['attn_v=Q3_K']) })).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('Q3_K cannot be written yet') }),
    )
  })

  it('has the number and the size of what it names', () => {
    const { fileType, bitsPerWeight, dataBytes } = planPreset(blueprint, 'Q8_0')
    expect(fileType).toBe(7)
    // Three matrices of 32 x 256 and one of 32 x 96 in 34 bytes a block of 32, one of 32 x 100 in F16, 256 values in F32.
    expect(dataBytes).toBe(3 * 256 * 34 + 96 * 34 + 6400 + 1024)
    expect(bitsPerWeight).toBe((8 * dataBytes) / (3 * 8192 + 3072 + 3200 + 256))
  })
})
