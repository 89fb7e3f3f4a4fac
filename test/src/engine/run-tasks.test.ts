import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runTasks } from '../../../src/engine/run-tasks.js'
import type { MeasureTask } from '../../../src/engine/task.js'
import { constant } from '../../../src/recipe/index.js'

let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-pool-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const values = 1000
const reply = '{ ok: true, sums: [], seconds: 0, checksum: 0 }'

/** A task whose run holds a thousand values; the workers here look at its name alone. */
function task(tensor: string): MeasureTask {
  const recipe = constant(
    Array.from({ length: values }, () => 0),
    [1, values],
  )
  return { kind: 'measure', tensor, runs: [{ recipe, start: 0, end: 1, tensorRow: 0 }], types: [] }
}

async function run(source: string, tasks: Iterable<MeasureTask>, options: { memoryBytes?: number } = {}): Promise<string[]> {
  const worker = join(folder, `${crypto.randomUUID()}.mjs`)
  await writeFile(worker, source)
  const names: string[] = []
  for await (const finished of runTasks(tasks, { setup: { files: [] }, threads: 2, what: 'a test', worker, ...options })) {
    names.push(finished.task.tensor)
  }
  return names
}

describe('worker threads', () => {
  test.each([
    ['that exits in a task', `export default () => process.exit(3)`],
    [
      'that throws outside of its task',
      `export default () => new Promise(() => { setImmediate(() => { throw new Error('oops') }) })`,
    ],
    ['that does not start', `throw new Error('oops')`],
    ['that is not there to start', `import '../quantize/missing.mjs'`],
  ])('one %s ends the work with an error, not in silence', async (_, source) => {
    await expect(run(source, ['a', 'b', 'c', 'd', 'e', 'f'].map(task))).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  test('end every task once, however many there are', async () => {
    const names = Array.from({ length: 500 }, (_, index) => String(index))
    const finished = await run(`export default () => (${reply})`, names.map(task))
    expect(finished.toSorted((a, b) => Number(a) - Number(b))).toEqual(names)
  })

  test.each([
    [1, 1], // less than one task needs: then one at a time
    [2.5 * 20 * values, 2],
    [undefined, 6], // three for each thread
  ])('within %s bytes, tasks are taken from the list only as there is room', async (memoryBytes, most) => {
    let taken = 0
    let finished = 0
    const excess: number[] = []
    function* tasks(): Generator<MeasureTask> {
      for (; taken < 40; taken++) {
        excess.push(taken - finished)
        yield task(String(taken))
      }
    }
    const worker = join(folder, 'reply.mjs')
    await writeFile(worker, `export default () => (${reply})`)
    const options = { setup: { files: [] }, threads: 2, what: 'a test', worker, memoryBytes }
    for await (const _ of runTasks(tasks(), options)) finished += 1
    expect(finished).toBe(40)
    // The next task is looked at before there is room for it.
    expect(Math.max(...excess)).toBeLessThanOrEqual(2 * most)
  })
})
