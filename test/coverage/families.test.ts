import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { betterNames } from '../../bench/coverage/better.js'
import { checkpointSpecs, writeCheckpointOf } from '../../bench/coverage/checkpoints/index.js'
import { digestGguf, firstDifference, type GgufDigest } from '../../bench/coverage/digest.js'
import { goldenTypes, readGolden } from '../../bench/coverage/golden.js'
import { convertOurs } from '../../bench/coverage/ours.js'

/** What a family, storage or kind of tokenizer that is not there yet is refused with: its cases are skipped, and run as soon as it is. */
const notYet = new Set(['ARCHITECTURE_UNKNOWN', 'STORAGE_UNSUPPORTED', 'TOKENIZER_UNSUPPORTED', 'PRE_TOKENIZER_UNKNOWN'])

/** Cases that are known to differ, and in what. One that has become equal is to be taken out of the list. */
const known = JSON.parse(await readFile(new URL('./not-equal-yet.json', import.meta.url), 'utf8')) as Record<string, string>

const cases = checkpointSpecs.flatMap((spec) => spec.classes.map((className) => ({ spec, className, name: spec.name })))

/** A value, and its place among the entries that both files have. */
function placeOf(entries: Readonly<Record<string, string>>, name: string, other: Readonly<Record<string, string>>): string {
  const place = Object.keys(entries)
    .filter((key) => key in other)
    .indexOf(name)
  return `${place} ${entries[name]}`
}

describe("a tiny checkpoint becomes what llama.cpp's converter makes of it, to the last key and tensor", () => {
  let parent = ''
  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), 'mq-families-'))
  })
  afterAll(() => rm(parent, { recursive: true, force: true }))

  test.for(cases)('$className ($name)', async ({ spec, className }, { skip }) => {
    const golden = await readGolden(spec)
    if (golden === undefined) return skip('there is no golden file')
    const folder = await writeCheckpointOf(spec, join(parent, className), className)
    const notDifferent = new Set(betterNames(spec.name))
    const outputs = { f32: `${folder}.f32.gguf`, bf16: `${folder}.bf16.gguf` }
    const refusals = await convertOurs(folder, outputs, spec.options?.mq)
    for (const type of goldenTypes) {
      const refusal = refusals[type]
      if (refusal !== undefined && notYet.has(refusal.code)) return skip(refusal.code)
      const found: GgufDigest | undefined = refusal === undefined ? await digestGguf(outputs[type]) : undefined
      const difference = found === undefined ? refusal?.message : firstDifference(found, golden[type])
      if (difference !== undefined && spec.name in known) return skip(`${known[spec.name]}: ${difference}`)
      expect(refusal).toBeUndefined()
      // In the order of the file, for the order of keys and tensors is the converter's, too.
      const entriesOf = (entries: Readonly<Record<string, string>>): [string, string][] =>
        Object.entries(entries).filter(([name]) => !betterNames(spec.name).includes(name))
      expect(entriesOf(found?.keys ?? {})).toEqual(entriesOf(golden[type].keys))
      expect(entriesOf(found?.tensors ?? {})).toEqual(entriesOf(golden[type].tensors))
      for (const part of ['keys', 'tensors'] as const) {
        const [ours, theirs] = [found?.[part] ?? {}, golden[type][part]]
        for (const name of notDifferent)
          if (placeOf(ours, name, theirs) !== placeOf(theirs, name, ours)) notDifferent.delete(name)
      }
      await rm(outputs[type])
    }
    // What is said to differ on purpose does.
    expect([...notDifferent]).toEqual([])
    await rm(folder, { recursive: true, force: true })
  })
})
