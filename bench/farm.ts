import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, connect as openSocket, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { digestsOfBuild } from './build-kills.js'
import { makeNetworkNamespace, type NetworkNamespace } from './network-namespace.js'
import { mqEntry } from './pipeline.js'
import { cpuSecondsOfTree, runWatched } from './process-tree.js'
import { uniforms } from './random.js'
import { type RunningRedis, redisServer, runRedis } from './redis.js'
import { writeSynthetic } from './synthetic-checkpoint.js'

/** What is done to a farm while it builds. */
export const faults = ['none', 'worker-killed', 'broker-restarted', 'broker-forgot', 'network-cut'] as const
export type Fault = (typeof faults)[number]

/** One build on a farm, against the same alone. */
export interface FarmRun {
  readonly workers: number
  readonly fault: Fault
  /** How often the fault happened while the build ran. */
  readonly times: number
  readonly identical: boolean
  readonly wallSeconds: number
  /** Of the build and of all workers, those that were killed left out. */
  readonly cpuSeconds: number
}

export interface FarmMeasurement {
  readonly outputs: number
  readonly alone: { readonly wallSeconds: number; readonly cpuSeconds: number }
  readonly runs: readonly FarmRun[]
}

/** More kills than this in a build, and it waits for leases most of the time. */
const maxTimes = 3

export interface FarmBenchOptions {
  /** A build file; or the size in bytes of a synthetic checkpoint, of which two outputs are made. */
  readonly file: string | number
  /** Numbers of workers, each with `threads` threads, for the runs without faults. */
  readonly workers: readonly number[]
  readonly threads: number
  /** Runs of each fault, and with how many workers. */
  readonly runs: number
  readonly faultWorkers: number
  readonly seed: number
}

/**
 * Builds a file alone and on farms of a Redis server and worker processes on this machine, undisturbed and with faults at random moments, and
 * compares the bytes of all outputs. The build and each worker are in network namespaces of their own, where that is allowed, and a cut takes
 * all links down; elsewhere a relay stands still. Linux, with redis-server among the foreign programs.
 */
export async function benchFarm(options: FarmBenchOptions, say: (text: string) => void): Promise<FarmMeasurement> {
  if (!redisServer.available) throw new Error('There is no redis-server: .ci/foreign-root installs it.')
  const { workers, threads, runs, faultWorkers, seed } = options
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-farm-'))
  const env = { ...process.env, NODE_ENV: 'production', MQ_REGISTRY: join(folder, 'registry') }
  const next = uniforms(seed)
  try {
    const file = typeof options.file === 'string' ? options.file : await syntheticBuild(folder, options.file)
    const build = [mqEntry(), 'build', file]
    const alone = await runWatched(process.execPath, [...build, '--work', join(folder, 'alone'), '--threads', `${threads}`], {
      env,
    })
    const expected = await digestsOfBuild(join(folder, 'alone'))
    say(`alone: ${alone.wallSeconds.toFixed(1)} s, ${alone.cpuSeconds.toFixed(1)} s of processor time`)
    const found: FarmRun[] = []
    const plan = [
      ...workers.map((count) => ({ count, fault: 'none' as const })),
      ...faults.slice(1).flatMap((fault) => Array.from({ length: runs }, () => ({ count: faultWorkers, fault }))),
    ]
    for (const [index, { count, fault }] of plan.entries()) {
      const work = join(folder, `farm${index}`)
      await using farm = await startFarm({ count, threads, env, remembers: fault === 'broker-restarted' })
      const started = farm.start([...build, '--work', work, '--queue'])
      const ended = once(started, 'exit')
      const startedAt = performance.now()
      let times = 0
      let cpuSeconds = 0
      while (started.exitCode === null) {
        cpuSeconds = Math.max(cpuSeconds, cpuSecondsOfTree(started.pid ?? 0))
        if (fault === 'none' || times === maxTimes) {
          await sleep(200)
          continue
        }
        await Promise.race([ended, sleep((2 * next() * 1000 * alone.wallSeconds) / 4)])
        if (started.exitCode !== null) break
        await farm.disturb(fault, next())
        times += 1
      }
      const wallSeconds = (performance.now() - startedAt) / 1000
      const identical = started.exitCode === 0 && isDeepStrictEqual(await digestsOfBuild(work), expected)
      const run = { workers: count, fault, times, identical, wallSeconds, cpuSeconds: cpuSeconds + farm.cpuSeconds() }
      found.push(run)
      say(farmLine(run))
      await rm(work, { recursive: true, force: true })
    }
    return { outputs: expected.length, alone, runs: found }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Writes a checkpoint of so many bytes, and a build of two outputs by an importance matrix. @returns the path of the build file. */
async function syntheticBuild(folder: string, bytes: number): Promise<string> {
  const { imatrix } = await writeSynthetic(join(folder, 'model'), bytes)
  const file = join(folder, 'build.yaml')
  const outputs = '{ Q4_K_M: { preset: Q4_K_M }, small: { bits: 3.5 } }'
  const model = `{ source: model, calibration: { file: ${imatrix} }, outputs: ${outputs} }`
  await writeFile(file, `models: { synthetic: ${model} }\n`)
  return file
}

/** A run as a line of a table. */
export function farmLine({ workers, fault, times, identical, wallSeconds, cpuSeconds }: FarmRun): string {
  const seconds = [wallSeconds, cpuSeconds].map((value) => `${value.toFixed(1)} s`.padStart(9))
  return [`${workers} workers`, fault.padEnd(16), `${times} times`, identical ? 'same bytes ' : 'OTHER BYTES', ...seconds].join(
    '  ',
  )
}

interface RunningFarm extends AsyncDisposable {
  /** Starts the build. @param args of Node; the address of the queue is added. */
  start(args: readonly string[]): ChildProcess
  /** Of the workers that live. */
  cpuSeconds(): number
  disturb(fault: Fault, chance: number): Promise<void>
}

async function startFarm({
  count,
  threads,
  env,
  remembers,
}: {
  readonly count: number
  readonly threads: number
  readonly env: NodeJS.ProcessEnv
  readonly remembers: boolean
}): Promise<RunningFarm> {
  const redis = await runRedis({ remembers })
  // The last is that of the build.
  const places = Array.from({ length: count + 1 }, (_, index) => makeNetworkNamespace(index))
  const cable = await layCable(redis)
  const startIn = (index: number, args: readonly string[]): ChildProcess => {
    const place = places[index]
    const queue = `redis://${place?.host ?? '127.0.0.1'}:${cable.port}`
    if (place === undefined) return spawn(process.execPath, [...args, queue], { env, stdio: 'ignore' })
    return spawn(place.enter[0], [...place.enter.slice(1), process.execPath, ...args, queue], { env, stdio: 'ignore' })
  }
  const start = (index: number): ChildProcess => startIn(index, [mqEntry(), 'worker', '--threads', `${threads}`, '--queue'])
  const workers = Array.from({ length: count }, (_, index) => start(index))
  const kill = async (worker: ChildProcess | undefined): Promise<void> => {
    if (worker === undefined || worker.exitCode !== null) return
    const gone = once(worker, 'exit')
    worker.kill('SIGKILL')
    await gone
  }
  const links = places.filter((place): place is NetworkNamespace => place !== undefined)
  const cut = async (forMs: number): Promise<void> => {
    if (links.length < places.length) await cable.cut(forMs)
    else await Promise.all(links.map((link) => link.cut(forMs)))
  }
  return {
    start: (args) => startIn(count, args),
    cpuSeconds: () => workers.reduce((sum, { pid = 0 }) => sum + cpuSecondsOfTree(pid), 0),
    async disturb(fault, chance) {
      if (fault === 'worker-killed') {
        const index = Math.floor(chance * workers.length)
        await kill(workers[index])
        workers[index] = start(index)
      } else if (fault === 'network-cut') await cut(1000 + 9000 * chance)
      else await redis.restart()
    },
    async [Symbol.asyncDispose]() {
      for (const worker of workers) await kill(worker)
      await cable.close()
      for (const link of links) link.remove()
      await redis[Symbol.asyncDispose]()
    },
  }
}

/** The way from the workers to the broker, which can be cut: no byte passes and no connection ends, as where a cable is pulled. */
async function layCable({
  port,
}: RunningRedis): Promise<{ port: number; cut(forMs: number): Promise<void>; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    const far = openSocket(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      if (isCut) from.pause()
    }
  })
  server.listen(0)
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return {
    port: address.port,
    async cut(forMs) {
      isCut = true
      for (const socket of sockets) socket.pause()
      await sleep(forMs)
      isCut = false
      for (const socket of sockets) socket.resume()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
