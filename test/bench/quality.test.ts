import { beforeAll, describe, expect, it, test } from 'vitest'
import { foreign } from '../../bench/foreign.js'
import { benchQuality, type QualityRow } from '../../bench/quality.js'
import { ingredientsText } from '../../bench/quality-ingredients-text.js'
import { comparedSizes, presetAt } from '../../bench/quality-sizes.js'
import { meetsTarget, targetOf } from '../../bench/quality-text.js'
import { makeBlueprint } from '../../src/convert/index.js'

test('targets are those of the rivals, and those of presets hold up to 5 bits', () => {
  const row = { rival: 'llama.cpp-preset Q2_K', text: 'kjv-heldout', bitsPerWeight: 3, kld: 0.6, rivalKld: 1 } as QualityRow
  expect(targetOf(row)).toBe(0.6)
  expect(meetsTarget(row)).toBe(true)
  expect(meetsTarget({ ...row, kld: 0.61 })).toBe(false)
  expect(targetOf({ ...row, text: 'jargon-heldout' })).toBe(0.85)
  expect(targetOf({ ...row, bitsPerWeight: 5.01 })).toBe(1)
  // as good as another is not better
  expect(meetsTarget({ ...row, rival: 'unsloth-style 2.5', kld: 1 })).toBe(false)
  expect(meetsTarget({ ...row, rival: 'our-kernels-preset Q2_K', kld: 0.99 })).toBe(true)
})

test('bits are compared with the smallest preset that is not smaller', async () => {
  const at = async (sample: string): Promise<(string | undefined)[]> => {
    const blueprint = await makeBlueprint(`samples/${sample}`)
    return comparedSizes.filter(({ bits }) => bits !== undefined).map((size) => presetAt(blueprint, size)?.preset)
  }
  // Of the bits per weight that llama-quantize --dry-run --imatrix prints for each of its presets.
  expect(await at('llama-kjv')).toEqual(['IQ3_XS', 'Q2_K_S', 'IQ2_XXS'])
  expect(await at('deepseek-kjv-moe')).toEqual(['IQ3_XS', 'Q2_K', 'IQ2_XXS'])
})

describe('the table', () => {
  const rows: QualityRow[] = []
  beforeAll(async () => {
    const options = { samples: ['llama-kjv'], sizes: ['2.51'], chunks: 2, calibrationChunks: 8 }
    const rivals = ['llama.cpp-preset', 'our-kernels-preset'] as const
    for await (const row of benchQuality({ ...options, rivals })) rows.push(row)
  })

  it('has a row for each rival and text, and ours is never the larger', () => {
    expect(new Set(rows.map(({ text }) => text)).size).toBe(2)
    expect(rows.some(({ rival }) => rival === 'our-kernels-preset IQ2_XXS at 2.51 bits')).toBe(true)
    if (foreign.available) expect(rows).toHaveLength(4)
    for (const { bytes, rivalBytes, bitsPerWeight, kld, rivalKld, ppl, rivalPpl } of rows) {
      expect(bytes).toBeLessThanOrEqual(rivalBytes)
      expect(bitsPerWeight).toBeLessThanOrEqual(2.51)
      for (const figure of [kld, rivalKld]) expect(figure).toBeGreaterThan(0)
      for (const figure of [ppl, rivalPpl]) expect(figure).toBeGreaterThan(1)
    }
  })
})

test('ingredients are shares of what llama.cpp’s file has, marked where they make it worse', () => {
  const row = { sample: 's', text: 'kjv-heldout', preset: 'Q2_K', bytes: 1, bitsPerWeight: 3, kldError: 0, ppl: 1 } as const
  const klds = [
    ['llama.cpp', 0.2],
    ['kernels', 0.3],
    ['kernels + feedback', 0.25],
    ['kernels + allocation', 0.4],
    ['all three', 0.05],
  ] as const
  const [, line] = ingredientsText(klds.map(([ingredients, kld]) => ({ ...row, ingredients, kld }))).split('\n')
  expect(line?.split(/ {2,}/)).toEqual(['s', 'kjv-heldout', 'Q2_K', '0.2000', '! 1.500', '1.250', '! 2.000', '0.250'])
})
