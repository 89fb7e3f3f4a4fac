import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCodec } from '../../formats/ggml/codec.js'
import { makeBlueprint } from '../../src/model/index.js'
import { evaluateRows, rowCount } from '../../src/recipe/index.js'
import { openBlueprintFiles } from '../support/blueprint-files.js'
import { python } from '../support/python.js'

const sample = new URL('../../samples/llama-kjv/', import.meta.url).pathname
const script = new URL('./peft-cases.py', import.meta.url).pathname

const cases =
  `plain rank-stabilised patterns layers embeddings saved saved-tied saved-embedding-tied embedding-tied head-tied tokens all-biases lora-biases
  lora-bias dora two two-dora gpt2 gpt2-dora qwen3moe-experts mixtral-experts gpt-oss-experts`.split(/\s+/)

describe.skipIf(!python.available)(`the models that peft merges (${python.name})`, () => {
  let folder: string

  beforeAll(async () => {
    folder = process.env['MQ_PEFT_CASES'] ?? (await mkdtemp(join(tmpdir(), 'mq-peft-')))
    if (process.env['MQ_PEFT_CASES'] === undefined) {
      await python.run(script, [folder], folder)
    }
    for (const name of cases)
      for (const model of ['base', 'merged'])
        for (const file of ['tokenizer.json', 'tokenizer_config.json'])
          await cp(join(sample, file), join(folder, name, model, file))
  }, 300_000)
  afterAll(async () => {
    if (process.env['MQ_PEFT_CASES'] === undefined) await rm(folder, { recursive: true, force: true })
  })

  it.each(cases)('are those of %s, within one unit in the last place of BF16', async (name) => {
    const place = join(folder, name)
    const adapters = (await readdir(place)).filter((entry) => entry.startsWith('adapter')).sort()
    const lora = adapters.map((adapter) => join(place, adapter))
    const [ours, theirs] = await Promise.all([valuesOf(join(place, 'base'), lora), valuesOf(join(place, 'merged'))])
    expect([...ours.keys()].toSorted()).toEqual([...theirs.keys()].toSorted())
    const base = await valuesOf(join(place, 'base'))
    let changed = 0
    for (const [tensor, values] of theirs) {
      const own = ours.get(tensor) as Float32Array
      expect(worstUlps(own, values, base.get(tensor)), tensor).toBeLessThanOrEqual(1)
      if (base.get(tensor)?.some((value, at) => value !== own[at]) !== false) changed++
    }
    // All that peft changes, and nothing by accident.
    expect(changed).toBeGreaterThan(0)
  })
})

async function valuesOf(path: string, lora: readonly string[] = []): Promise<Map<string, Float32Array>> {
  const [blueprint, codec] = [await makeBlueprint(path, { lora }), await openCodec()]
  const found = new Map<string, Float32Array>()
  await using files = await openBlueprintFiles(blueprint)
  for (const { name, recipe } of blueprint.tensors) {
    found.set(name, (await evaluateRows(recipe, 0, rowCount(recipe), files.read, codec)).slice())
  }
  return found
}

/** The largest difference in units in the last place of BF16 (8 bits of significand) of the second. */
function worstUlps(ours: Float32Array, theirs: Float32Array, base: Float32Array | undefined): number {
  if (ours.length !== theirs.length) return Number.POSITIVE_INFINITY
  return ours.reduce((worst, value, at) => {
    const other = theirs[at] as number
    const exponent = Math.floor(Math.log2(Math.max(Math.abs(other), 2 ** -126)))
    // Where base and change cancel, nothing is left but the rounding of either in F32.
    const rounding = 2 ** -22 * Math.abs(base?.[at] ?? 0)
    return Math.max(worst, Math.abs(value - other) / Math.max(rounding, 2 ** (exponent - 7)))
  }, 0)
}
