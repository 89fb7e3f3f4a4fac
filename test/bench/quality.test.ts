import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { foreign } from '../../bench/foreign.js'
import type { QualityRow } from '../../bench/quality.js'
import type { MeasurementCache } from '../../bench/quality-cache.js'
import { ingredientsText } from '../../bench/quality-ingredients-text.js'
import { openLab, type Prediction } from '../../bench/quality-lab.js'
import { comparedSizes, presetAt } from '../../bench/quality-sizes.js'
import { sampleSubject } from '../../bench/quality-subject.js'
import { meetsTarget, qualityMarkdown, qualitySummary, targetOf } from '../../bench/quality-text.js'
import { hullOf, targetBpw } from '../../bench/target-bpw.js'
import { proposedTypes } from '../../bench/target-bpw-errors.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import { writeOneLayerSample } from '../support/one-layer-sample.js'

test('targets are those of the rivals, and those of presets hold up to 5 bits', () => {
  const row = { rival: 'llama.cpp-preset Q2_K', text: 'kjv-heldout', bitsPerWeight: 3, kld: 0.6, rivalKld: 1 } as QualityRow
  expect(targetOf(row)).toBe(0.6)
  expect(meetsTarget(row)).toBe(true)
  expect(meetsTarget({ ...row, kld: 0.61 })).toBe(false)
  expect(targetOf({ ...row, text: 'jargon-heldout' })).toBe(0.85)
  expect(targetOf({ ...row, bitsPerWeight: 5.01 })).toBe(1)
  expect(targetOf({ ...row, text: 'prose', rival: 'llama.cpp-without-imatrix Q2_K' })).toBe(0.6)
  expect(targetOf({ ...row, text: 'prose' })).toBe(0.5)
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

test('a lab makes each file once, within its bytes, and measures it on each text', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mq-quality-test-'))
  const cached = new Map<string, Prediction>()
  const cache: MeasurementCache = {
    get: (key) => cached.get(key),
    put: async (key, prediction) => void cached.set(key, prediction),
  }
  try {
    // One layer says as much as four.
    const model = join(folder, 'one-layer')
    await writeOneLayerSample(model)
    await using lab = await openLab({
      subject: { ...(await sampleSubject('llama-kjv', ['jargon-heldout'])), model, calibrationChunks: 2 },
      chunks: 2,
      cache,
      folder,
      // ggml takes 20 s to prepare its searches in the largest codebooks, which no file of 4.5 bits would have.
      rivalTypes: proposedTypes.filter((type) => !/^IQ(?:1|2_X?S$)/.test(type)),
    })
    const file = await lab.made('Q4_0', { kind: 'preset', preset: 'Q4_0' }, 'importance')
    expect(await lab.made('Q4_0', { kind: 'preset', preset: 'Q4_0' }, 'importance')).toBe(file)
    // As llama-quantize --dry-run says for Q4_0: 0.83 MiB.
    expect((file.dataBytes / 2 ** 20).toFixed(2)).toBe('0.83')
    const predictions = await lab.predictions(file)
    expect([...predictions.keys()]).toEqual(['jargon-heldout'])
    expect(predictions.get('jargon-heldout')?.kld.value).toBeGreaterThan(0)
    expect([...cached.values()]).toEqual([...predictions.values()])
    if (!foreign.available) return
    const theirs = await lab.theirs('Q4_0')
    expect(theirs.dataBytes).toBe(file.dataBytes)
    expect(theirs.bytes).toBeGreaterThanOrEqual(file.bytes)
    const proposed = await lab.targetBpw(theirs.dataBytes)
    expect(proposed.dataBytes).toBeLessThanOrEqual(theirs.dataBytes)
    expect(proposed.dataBytes).toBeGreaterThan(0.99 * theirs.dataBytes)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
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

const tails = { kld99: 1, rivalKld99: 1, sameTop: 1, rivalSameTop: 1 }

test('a missed target is bold in Markdown', () => {
  const sizes = { rivalBytes: 20, bytes: 19, bitsPerWeight: 3, kldError: 0, rivalKldError: 0, ppl: 1, rivalPpl: 1, ...tails }
  const row = { sample: 's', rival: 'llama.cpp-preset Q2_K', ...sizes, rivalKld: 0.1 }
  const rows: QualityRow[] = [
    { ...row, text: 'kjv-heldout', kld: 0.07 },
    { ...row, text: 'jargon-heldout', kld: 0.08 },
  ]
  expect(qualityMarkdown(rows).split('\n').at(-1)).toBe(
    '| s | llama.cpp-preset Q2_K | 20 | 19 | 3.000 | 0.0700 / 0.1000 = **0.70** | 0.0800 / 0.1000 = 0.80 |',
  )
})

test('the last line of the summary counts the rows and names the worst against presets', () => {
  const sizes = { rivalBytes: 20, bytes: 19, bitsPerWeight: 3, kldError: 0, rivalKldError: 0, ppl: 1, rivalPpl: 1, ...tails }
  const row = { sample: 's', rival: 'llama.cpp-preset Q2_K', ...sizes, rivalKld: 0.1 }
  const rows: QualityRow[] = [
    { ...row, text: 'kjv-heldout', kld: 0.07 },
    { ...row, text: 'kjv-heldout', kld: 0.02 },
    { ...row, text: 'jargon-heldout', kld: 0.08 },
    { ...row, text: 'jargon-heldout', rival: 'unsloth-style 3.0', kld: 0.09 },
  ]
  expect(qualitySummary(rows).split('\n').at(-1)).toBe(
    '4 rows, 3 meet their targets; worst ratio against llama.cpp’s presets 0.700 on kjv-heldout, 0.800 on jargon-heldout',
  )
})

test('the proposed target-bpw keeps the convex hull, boosts roles by hand, and spends what is left', () => {
  const candidates = [
    { type: 'Q2_K', bytes: 10, error: 8 },
    // above the line from (10, 8) to (30, 0), which passes 4 at 20
    { type: 'Q3_K', bytes: 20, error: 5 },
    { type: 'Q4_K', bytes: 30, error: 0 },
    { type: 'Q5_K', bytes: 40, error: 1 },
  ] as const
  expect(hullOf(candidates).map(({ type }) => type)).toEqual(['Q2_K', 'Q4_K'])
  const tensor = (name: string) => ({ name, elements: 60, candidates })
  const both = [tensor('blk.0.ffn_up.weight'), tensor('blk.0.ffn_down.weight'), tensor('output.weight')]
  expect([...targetBpw(both, 50).values()]).toEqual(['Q2_K', 'Q4_K', 'Q2_K'])
  expect([...targetBpw(both, 75).values()]).toEqual(['Q2_K', 'Q4_K', 'Q4_K'])
})
