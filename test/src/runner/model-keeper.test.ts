import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeBlueprint } from '../../../src/model/index.js'
import { makePlan } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { modelKeeper } from '../../../src/runner/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'
import { llama } from '../../support/sample-models.js'
import { temporaryFolder } from '../../support/tiny-model.js'

/** Processes of llama.cpp below this one. */
async function childrenHere(): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    const [stat = '', command = ''] = await Promise.all(
      ['stat', 'cmdline'].map((file) => readFile(join('/proc', name, file), 'utf8').catch(() => '')),
    )
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number(parent) === process.pid && state !== 'Z' && command.includes('llama-child')) found.push(Number(name))
  }
  return found
}

async function childrenAre(count: number): Promise<number[]> {
  for (;;) {
    const found = await childrenHere()
    if (found.length === count) return found
    await sleep(20)
  }
}

const available = llama.available && process.platform === 'linux'

describe.skipIf(!available)(`a model that is kept (${available ? llama.name : 'SKIPPED, not on Linux'})`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  const at = (name: string): string => join(folder.path, name)
  const write = async (type: string, name: string): Promise<void> => {
    const blueprint = await makeBlueprint(at('sample'))
    const plan = await finish(makePlan(blueprint, { kind: 'type', type }))
    await finish(quantize({ blueprint, plan, output: at(name), threads: 1, force: true }))
  }
  beforeAll(async () => {
    folder = await temporaryFolder()
    await writeOneLayerSample(at('sample'), { vocabulary: 512, intermediate: 256 })
    await write('Q8_0', 'one.gguf')
    await write('Q4_0', 'two.gguf')
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  test('is the same process for the next user, and one at a time', async () => {
    await using keeper = modelKeeper()
    const load = async (name: string, threads = 1): Promise<number> => {
      await using model = await keeper.load(at(name), { threads })
      expect((await model.tokenize('In the beginning')).length).toBeGreaterThan(2)
      const [pid = 0] = await childrenAre(1)
      return pid
    }
    const first = await load('one.gguf')
    expect(await load('one.gguf')).toBe(first)
    const others = [await load('two.gguf'), await load('two.gguf', 2), await load('one.gguf', 2)]
    expect(new Set([first, ...others]).size).toBe(4)
    await write('Q5_0', 'one.gguf')
    expect(others).not.toContain(await load('one.gguf', 2))
    await keeper.release()
    expect(await childrenHere()).toEqual([])
  })

  test('is another for who comes while it is in use, and stays for its user', async () => {
    await using keeper = modelKeeper()
    await using model = await keeper.load(at('two.gguf'))
    {
      await using other = await keeper.load(at('two.gguf'))
      expect(other.info).toEqual(model.info)
      expect(await childrenHere()).toHaveLength(2)
    }
    await keeper.release()
    expect((await model.tokenize('In the beginning')).length).toBeGreaterThan(2)
    expect(await childrenHere()).toHaveLength(1)
  })

  test('ends with an abort of its user alone, and the next gets a new one', async () => {
    await using keeper = modelKeeper()
    const early = new AbortController()
    await (await keeper.load(at('two.gguf'), { signal: early.signal })).close()
    early.abort()
    const [before] = await childrenAre(1)
    const late = new AbortController()
    const model = await keeper.load(at('two.gguf'), { signal: late.signal })
    expect(await childrenHere()).toEqual([before])
    const work = model.perplexity('In the beginning '.repeat(400), { contextLength: 64 })
    await work.next()
    late.abort()
    await expect(finish(work)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    await model.close()
    await using next = await keeper.load(at('two.gguf'))
    expect(next.isClosed).toBe(false)
    expect(await childrenAre(1)).not.toEqual([before])
  })

  test('is freed when nobody asks for it', async () => {
    await using keeper = modelKeeper({ idleMs: 1 })
    await (await keeper.load(at('two.gguf'))).close()
    expect(await childrenAre(0)).toEqual([])
  })

  test('does not outlive the thread that keeps it', async () => {
    const script = at('keeps.mjs')
    const library = new URL('../../../dist/src/runner/index.js', import.meta.url).href
    await writeFile(
      script,
      `import { parentPort } from 'node:worker_threads'
       import { modelKeeper } from ${JSON.stringify(library)}
       const keeper = modelKeeper()
       await (await keeper.load(${JSON.stringify(at('two.gguf'))})).close()
       parentPort.postMessage('kept')
       parentPort.on('message', () => {})`,
    )
    const thread = new Worker(script)
    await once(thread, 'message')
    await childrenAre(1)
    await thread.terminate()
    expect(await childrenAre(0)).toEqual([])
  })
})
