import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runTasks } from '../../../src/engine/run-tasks.js'
import type { MeasureTask } from '../../../src/engine/task.js'
import { constant, plain } from '../../../src/recipe/index.js'

let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-pool-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const values = 1000
const reply = '{ ok: true, sums: [], seconds: 0, checksum: 0 }'

/** A task whose run holds a thousand values; the workers here look at its name alone. */
function task(tensor: string, types: MeasureTask['types'] = []): MeasureTask {
  const recipe = constant(
    Array.from({ length: values }, (_, at) => Math.sin(at)),
    [1, values],
  )
  return { kind: 'measure', tensor, runs: [{ recipe, start: 0, end: 1, tensorRow: 0 }], types }
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
    await expect(
      run(
        source,
        ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => task(name)),
      ),
    ).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  test('end every task once, however many there are', async () => {
    const names = Array.from({ length: 500 }, (_, index) => String(index))
    const finished = await run(
      `export default () => (${reply})`,
      names.map((name) => task(name)),
    )
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

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

describe('small work', () => {
  const noWorker = (): string => join(folder, 'no such worker.mjs')
  const settings = () => ({ setup: { files: [] }, what: 'a test', worker: noWorker(), mayRunInline: true })
  const named = (count: number, types: MeasureTask['types']): MeasureTask[] =>
    Array.from({ length: count }, (_, index) => task(String(index), types))

  test('is done without threads, and gives what threads give', async () => {
    const types: MeasureTask['types'] = ['F16', 'BF16']
    const inline = await all(runTasks(named(50, types), settings()))
    const threads = await all(runTasks(named(50, types), { setup: { files: [] }, threads: 2, what: 'a test' }))
    const results = (finished: typeof inline): unknown =>
      finished
        .map(({ task: { tensor }, sums, checksum }) => ({ tensor, sums, checksum }))
        .toSorted((a, b) => Number(a.tensor) - Number(b.tensor))
    expect(inline).toHaveLength(50)
    expect(inline[0]?.sums[0]?.squaredError).toBeGreaterThan(0)
    expect(results(inline)).toEqual(results(threads))
  })

  test.each([
    ['there is more of it', 600, true],
    ['several threads were asked for', 5, false],
  ])('goes to threads where %s', async (_, count, mayRunInline) => {
    const work = runTasks(named(count, ['F16', 'BF16']), { ...settings(), threads: 1, mayRunInline })
    await expect(all(work)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  test('ends with what goes wrong in a task, and lets go of its files', async () => {
    const recipe = plain('F32', { file: 0, start: 0, end: 64 }, [1, 16])
    const run = { recipe, start: 0, end: 1, tensorRow: 0 }
    const files = [join(folder, 'short')]
    await writeFile(files[0] as string, new Uint8Array(60))
    const before = await readdir('/proc/self/fd').catch(() => [])
    const work = runTasks([{ ...task('a'), runs: [run] }], { ...settings(), setup: { files } })
    await expect(all(work)).rejects.toMatchObject({ code: 'INPUT_TRUNCATED' })
    expect(await readdir('/proc/self/fd').catch(() => [])).toHaveLength(before.length)
  })

  test('is interrupted while its threads start', async () => {
    const controller = new AbortController()
    const work = all(runTasks(named(20, ['F16']), { ...settings(), signal: controller.signal }))
    controller.abort()
    await expect(work).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })

  test('is interrupted between tasks', async () => {
    const controller = new AbortController()
    const finished: string[] = []
    const work = async (): Promise<void> => {
      for await (const { task } of runTasks(named(200, ['F16']), { ...settings(), signal: controller.signal })) {
        finished.push(task.tensor)
        controller.abort()
      }
    }
    await expect(work()).rejects.toMatchObject({ code: 'INTERRUPTED' })
    expect(finished.length).toBeLessThan(200)
  })
})
