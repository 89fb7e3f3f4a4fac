import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noErrorSums } from '../../../../src/engine/error-sums.js'
import { writeJournal } from '../../../../src/quantize/output/journal.js'
import type { JournalRecord } from '../../../../src/quantize/output/journal-format.js'
import { findJournal, indexRecords, openRecords, type RecordIndex } from '../../../../src/quantize/output/journal-reader.js'
import { newTaskSet } from '../../../../src/quantize/output/task-set.js'

const count = 20_000
const head = { identity: 'some work', partials: ['model.gguf.partial'] }
let folder: string
let path: string

const recordOf = (task: number): JournalRecord => ({ task, checksum: (task * 2_654_435_761) % 2 ** 32, seconds: task / 8 })

/** The order in which a few threads end their tasks: never quite that of the file. */
const asWritten = Array.from({ length: count }, (_, at) => at ^ 5).filter((task) => task < count && task % 3 !== 0)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-journal-'))
  path = join(folder, 'journal')
  const journal = await writeJournal(path, head)
  for (const task of asWritten) journal.append(recordOf(task))
  await journal.written()
  await journal.close()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function found(tasks = count): Promise<RecordIndex> {
  const journal = await findJournal(path)
  if (journal === undefined) expect.fail('no journal')
  return indexRecords(journal, tasks)
}

test('holds four bytes a task, and nothing else that grows with them', async () => {
  const index = await found()
  const { places, ...rest } = index
  expect(places.byteLength).toBe(4 * count)
  expect(rest).toEqual({
    ...head,
    path,
    start: expect.any(Number),
    byteLength: (await stat(path)).size,
    size: asWritten.length,
  })
})

test('gives every record, and only those there are, in whatever order they are asked for', async () => {
  const records = await openRecords(await found())
  const wrong: number[] = []
  for (const task of [...Array(count).keys(), 19_999, 1, 10_000, 2]) {
    const record = await records.read(task)
    const right =
      task % 3 === 0 ? record === undefined : record?.checksum === recordOf(task).checksum && record.seconds === task / 8
    if (!right) wrong.push(task)
  }
  await records.close()
  expect(wrong).toEqual([])
})

test('the latest record of a task counts; those of tasks beyond the work do not', async () => {
  const before = await found()
  const journal = await writeJournal(path, head, before)
  const sums = { ...noErrorSums, count: 7, outputNorm: 0.25 }
  journal.append({ task: 1, checksum: 99, seconds: 3, sums })
  await journal.written()
  await journal.close()
  const index = await found(100)
  expect(index.size).toBe(66)
  const records = await openRecords(index)
  expect(await records.read(1)).toEqual({ task: 1, checksum: 99, seconds: 3, sums })
  expect(await records.read(100)).toBeUndefined()
  await records.close()
  const file = await open(path, 'r+')
  await file.truncate(before.byteLength + 5)
  await file.close()
  expect(await found()).toEqual(before)
})

test('a set of tasks takes a bit each', () => {
  const tasks = newTaskSet(10)
  for (const task of [0, 9, 7, 8, 9]) tasks.add(task)
  expect([tasks.size, ...Array.from({ length: 11 }, (_, task) => tasks.has(task))].map(Number)).toEqual([
    4, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0,
  ])
  expect(() => tasks.add(10)).toThrow(RangeError)
})
