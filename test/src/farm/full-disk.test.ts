import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningRedis, redisServer, runRedis } from '../../../bench/redis.js'
import { build } from '../../../src/build/index.js'
import { openFarm, work } from '../../../src/farm/index.js'
import { finish } from '../../../src/progress/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'

/** Mounts an overlay over $1 whose own layer, in $2, has room for one page; then runs the rest. In a mount namespace: nobody else sees it. */
const script = `mount -t tmpfs -o size=4k tmpfs "$2" && mkdir "$2/upper" "$2/work" &&
  mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$1" && shift 2 && exec "$@"`

function enter(folder: string, own: string, command: readonly string[]): [string, string[]] {
  return ['unshare', ['--mount', 'sh', '-c', script, 'sh', folder, own, ...command]]
}

describe.skipIf(!redisServer.available)(`a worker whose disk is full (${redisServer.name})`, { timeout: 120_000 }, () => {
  let folder: string
  let redis: RunningRedis
  let mayMount = false
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-full-'))
    for (const name of ['tried', 'own']) await mkdir(join(folder, name))
    const [command, args] = enter(join(folder, 'tried'), join(folder, 'own'), ['true'])
    mayMount = spawnSync(command, args, { stdio: 'ignore' }).status === 0
    redis = await runRedis()
    await writeOneLayerSample(join(folder, 'sample'))
    const file =
      'models:\n  one:\n    source: sample\n    outputs:\n      small: { preset: Q4_K_M }\n      large: { type: Q8_0 }\n'
    await writeFile(join(folder, 'build.yaml'), file)
  }, 60_000)
  afterAll(async () => {
    await redis[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  async function run(place: string, queue?: string): Promise<string[]> {
    await using farm = queue === undefined ? undefined : await openFarm({ queue })
    const executor = farm === undefined ? { threads: 1 } : { executor: farm.executor }
    const { report } = await finish(build({ file: join(folder, 'build.yaml'), work: place, ...executor }))
    return report.models.flatMap(({ outputs }) => outputs.flatMap(({ files }) => files.map(({ sha256 }) => sha256)))
  }

  test('ends with that error, and another makes the same bytes', async ({ skip }) => {
    if (!mayMount) skip('SKIPPED: only root may mount, and some containers let nobody')
    const place = join(folder, 'work')
    const built = run(place, redis.url)
    built.catch(() => {})
    // The build has put its first units into the queue.
    while (!(await readdir(join(place, 'units')).catch(() => [])).some((name) => name.endsWith('.json'))) await sleep(20)
    const worker = `
      import { work } from ${JSON.stringify(new URL('../../../dist/src/farm/index.js', import.meta.url).href)}
      try {
        for await (const event of work({ queue: ${JSON.stringify(redis.url)}, threads: 1 })) console.log(JSON.stringify(event))
      } catch (error) {
        console.log(JSON.stringify({ code: error.code, message: error.message }))
      }`
    await writeFile(join(folder, 'worker.mjs'), worker)
    const [command, args] = enter(place, join(folder, 'own'), [process.execPath, join(folder, 'worker.mjs')])
    const full = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    full.stdout?.on('data', (some: Buffer) => {
      text += some.toString()
    })
    await once(full, 'exit')
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event?: string; code?: string; message?: string })
    expect(lines.at(-1)).toMatchObject({ code: 'DISK_FULL', message: expect.stringContaining(place) })
    expect(lines.filter(({ event }) => event === 'done')).toEqual([])
    expect(lines.filter(({ event }) => event === 'failed')).toHaveLength(1)
    const stopping = new AbortController()
    const good = (async () => {
      const events = work({ queue: redis.url, threads: 1, signal: stopping.signal })
      for (;;) {
        const next = await events.next()
        if (next.done === true) return next.value
      }
    })()
    const digests = await built
    stopping.abort()
    expect((await good).done).toBe(4)
    expect(digests).toStrictEqual(await run(join(folder, 'alone')))
  })
})
