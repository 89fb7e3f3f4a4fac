import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { unitKey, unitVersion, workFolder } from '../build/index.js'
import { newChannel } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import { keyPrefix, parseQueue, queueName } from './address.js'
import { type Broker, brokerGone, openBroker, patienceMs, takeLeave } from './broker.js'
import { faultOf, reasonOf } from './failed-order.js'
import { type Delivery, type Order, orderSchema } from './message.js'
import { isOurs, type PresentWorker, saidEveryMs, sayGone, sayPresent, whoIsThere } from './presence.js'
import { type UnitThread, unitThread } from './run-in-thread.js'
import { checkFolder, readUnit } from './unit-file.js'

/** Options of a worker: queue, work folder, threads, memory. */
export interface WorkOptions {
  /** `redis://HOST`. */
  readonly queue: string
  /** Path of the builds' work folder on this machine, by default the path that the build has. */
  readonly work?: string
  readonly threads?: number
  readonly memoryBytes?: number
  /** End when no build is running and no unit is left. */
  readonly drain?: boolean
  readonly signal?: AbortSignal
  /** Lease of a unit without renewal, in milliseconds, by default 30000. */
  readonly lockMs?: number
}

/** Event of a worker. */
export interface WorkEvent {
  readonly event: 'ready' | 'started' | 'done' | 'known' | 'failed' | 'given-back'
  /** Kind of the unit, and the first digits of its key. */
  readonly unit?: string
  readonly seconds?: number
  /** Of `failed`: the error. */
  readonly problem?: string
  /** Of `ready`: the name of the worker. */
  readonly worker?: string
}

/** Totals of a worker. */
export interface WorkReport {
  readonly worker: string
  readonly done: number
  readonly failed: number
  readonly givenBack: number
  readonly busySeconds: number
}

const lockMs = 30_000
/** Time that a draining worker waits for a first build, in milliseconds. */
const firstBuildMs = 60_000
const progressEveryMs = 1000

type Job = {
  data: unknown
  updateProgress(value: object): Promise<void>
  moveToDelayed: Move
  moveToWait: (token?: string) => Promise<unknown>
}
type Move = (timestamp: number, token?: string) => Promise<void>

/**
 * Runs units of builds until it is stopped, or with `drain` until none is left. When `signal` is aborted, the running unit returns to the
 * queue at once.
 * @throws MqError QUEUE_INVALID, BROKER_UNREACHABLE, FARM_VERSION; errors of this machine (DISK_FULL, FARM_FOLDER ...), after the unit
 *   has returned to the queue.
 */
export async function* work(options: WorkOptions): AsyncGenerator<WorkEvent, WorkReport, void> {
  const address = parseQueue(options.queue)
  await using broker = await openBroker(address, options.signal)
  const id = randomBytes(4).toString('hex')
  const events = newChannel<WorkEvent | { readonly end: unknown }>()
  const stop = new AbortController()
  const giveUp = (error: unknown): void => {
    stop.abort()
    events.put({ end: error })
  }
  const stopped = (): void => giveUp(undefined)
  options.signal?.addEventListener('abort', stopped, { once: true })
  if (options.signal?.aborted === true) stopped()
  const worker = new UnitWorker(id, broker, options, stop.signal, (event) => events.put(event), giveUp)
  try {
    worker.start()
    void watch(broker, worker, options, stop.signal).then(giveUp, giveUp)
    yield { event: 'ready', worker: id }
    for (;;) {
      const next = await events.take()
      if (!('end' in next)) {
        yield next
        continue
      }
      await worker.close()
      if (next.end !== undefined) throw next.end
      return worker.report()
    }
  } finally {
    options.signal?.removeEventListener('abort', stopped)
    stop.abort()
    await worker.close()
  }
}

/** Renews the presence record, and checks versions and, with `drain`, whether work is left. @returns when drained or stopped. */
async function watch(broker: Broker, worker: UnitWorker, { drain }: WorkOptions, stop: AbortSignal): Promise<void> {
  const startedAt = performance.now()
  const queue = new broker.client.Queue(queueName(broker.address, unitVersion()), {
    connection: broker.connection,
    prefix: keyPrefix,
  })
  queue.on('error', () => {})
  let sawBuild = false
  let emptyLooks = 0
  try {
    while (!stop.aborted) {
      if (broker.awayMs() > patienceMs) throw brokerGone(broker)
      await sayPresent(broker, 'worker', worker.id, worker.state())
      const builds = await whoIsThere(broker, 'build')
      const mine = builds.filter(isOurs)
      const [other] = builds
      if (other !== undefined && mine.length === 0) {
        throw MqError.of('FARM_VERSION', { host: other.host, expected: other.version, found: unitVersion() })
      }
      // A build may have started and ended between two checks.
      sawBuild ||= mine.length > 0 || worker.hasWorked
      const isEmpty =
        mine.length === 0 && !worker.isBusy && (await queue.getJobCountByTypes('waiting', 'active', 'delayed')) === 0
      emptyLooks = isEmpty ? emptyLooks + 1 : 0
      const hasWaited = sawBuild || performance.now() - startedAt > firstBuildMs
      if (drain === true && emptyLooks >= 2 && hasWaited) return
      await sleep(drain === true ? Math.min(saidEveryMs, 2000) : saidEveryMs, undefined, { signal: stop }).catch(() => {})
    }
  } finally {
    await queue.disconnect()
  }
}

/** Takes units from the queue and runs them, one at a time. */
class UnitWorker {
  readonly id: string
  readonly #broker: Broker
  readonly #options: WorkOptions
  readonly #stop: AbortSignal
  readonly #say: (event: WorkEvent) => void
  readonly #giveUp: (error: unknown) => void
  readonly #startedAt = new Date().toISOString()
  readonly #counts = { done: 0, failed: 0, givenBack: 0, busySeconds: 0, attempts: 0 }
  readonly #threads = new Map<string, UnitThread>()
  #current: { readonly unit: string; readonly since: string } | undefined
  #worker: { close(force?: boolean): Promise<void> } | undefined

  constructor(
    id: string,
    broker: Broker,
    options: WorkOptions,
    stop: AbortSignal,
    say: (event: WorkEvent) => void,
    giveUp: (error: unknown) => void,
  ) {
    this.id = id
    this.#broker = broker
    this.#options = options
    this.#stop = stop
    this.#say = say
    this.#giveUp = giveUp
  }

  get isBusy(): boolean {
    return this.#current !== undefined
  }

  get hasWorked(): boolean {
    return this.#counts.done + this.#counts.failed + this.#counts.givenBack > 0
  }

  state(): PresentWorker {
    const { done, failed, busySeconds } = this.#counts
    const threads = this.#options.threads ?? 0
    const shared = { version: unitVersion(), host: hostname(), pid: process.pid, startedAt: this.#startedAt }
    return { id: this.id, ...shared, threads, ...this.#current, done, failed, busySeconds }
  }

  report(): WorkReport {
    const { done, failed, givenBack, busySeconds } = this.#counts
    return { worker: this.id, done, failed, givenBack, busySeconds }
  }

  start(): void {
    const { client, address, connection } = this.#broker
    const duration = this.#options.lockMs ?? lockMs
    const worker = new client.Worker(queueName(address, unitVersion()), (job, token) => this.#process(job, token), {
      connection,
      prefix: keyPrefix,
      concurrency: 1,
      lockDuration: duration,
      stalledInterval: duration / 2,
      maxStalledCount: 4,
      drainDelay: 2,
      runRetryDelay: 1000,
    })
    // Connections are restored, and results of a unit that another worker took meanwhile are in the work folder.
    worker.on('error', () => {})
    this.#worker = worker
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    if (worker === undefined) return
    // Closing waits for the unit, which is given back.
    await takeLeave(this.#broker, worker.close(this.#broker.awayMs() > 0))
    await Promise.all([...this.#threads.values()].map((thread) => thread[Symbol.asyncDispose]()))
    // Its presence record expires, too.
    await takeLeave(this.#broker, sayGone(this.#broker, 'worker', this.id))
  }

  async #process(job: Job, token: string | undefined): Promise<Delivery> {
    const { client } = this.#broker
    const order = v.parse(orderSchema, job.data)
    const unit = `${order.kind} ${order.key.slice(0, 8)}`
    const startedAt = performance.now()
    if (order.check === this.id && (await this.#hasOthers())) {
      await job.moveToDelayed(Date.now() + 1000, token)
      throw new client.DelayedError()
    }
    this.#current = { unit, since: new Date().toISOString() }
    this.#say({ event: 'started', unit })
    try {
      const { delivery, isKnown } = await this.#run(order, job)
      const seconds = (performance.now() - startedAt) / 1000
      this.#counts.done += 1
      this.#say({ event: isKnown ? 'known' : 'done', unit, seconds })
      return delivery
    } catch (thrown) {
      if (this.#stop.aborted) {
        this.#counts.givenBack += 1
        await job.moveToWait(token)
        this.#say({ event: 'given-back', unit })
        throw new client.WaitingError()
      }
      const error = MqError.from(thrown, order.folder)
      this.#counts.failed += 1
      this.#say({ event: 'failed', unit, problem: `${error.code}: ${error.message}` })
      // An order of a build that was killed, and whose folder no longer exists.
      const isStale = error.code === 'FARM_FOLDER' && !(await this.#isBuilding(order.work))
      const fault = isStale ? 'unit' : faultOf(error)
      const reason = reasonOf(error, this.id)
      if (fault === 'machine') this.#giveUp(error)
      throw fault === 'unit' ? new client.UnrecoverableError(reason) : new Error(reason)
    } finally {
      this.#counts.busySeconds += (performance.now() - startedAt) / 1000
      this.#current = undefined
    }
  }

  async #run(order: Order, job: Job): Promise<{ readonly delivery: Delivery; readonly isKnown: boolean }> {
    const { key, kind } = order
    const folder = this.#options.work ?? order.folder
    await checkFolder(folder, order.work)
    const place = workFolder(folder)
    const isCheck = order.check !== undefined
    const known = isCheck ? undefined : await place.find(kind, key)
    if (known !== undefined) return { delivery: { worker: this.id, seconds: known.seconds, files: known.files }, isKnown: true }
    const stored = await readUnit(folder, key)
    if (unitKey(stored.unit) !== key) throw MqError.of('FARM_FOLDER', { folder, problem: `unit ${key} is another there` })
    const attempt = `${this.id}${this.#counts.attempts++}`
    const startedAt = performance.now()
    try {
      const task = { ...stored, key, folder: await place.beginAttempt(kind, key, attempt) }
      const result = await this.#thread(folder).run(task, this.#reporter(job), this.#stop)
      const seconds = (performance.now() - startedAt) / 1000
      const { files } = await place.commitAttempt(stored.unit, key, attempt, { ...result, seconds })
      if (!isCheck) await place.publishAttempt(kind, key, attempt)
      return { delivery: { worker: this.id, seconds, files }, isKnown: false }
    } finally {
      await place.discardAttempt(kind, key, attempt).catch(() => {})
    }
  }

  #thread(folder: string): UnitThread {
    const { threads, memoryBytes } = this.#options
    const thread =
      this.#threads.get(folder) ?? unitThread({ measured: join(folder, 'measured'), measuredBy: this.id, threads, memoryBytes })
    this.#threads.set(folder, thread)
    return thread
  }

  #reporter(job: Job): (progress: object) => void {
    let saidAt = performance.now()
    return (progress) => {
      if (performance.now() - saidAt < progressEveryMs) return
      saidAt = performance.now()
      job.updateProgress(progress).catch(() => {})
    }
  }

  async #isBuilding(work: string): Promise<boolean> {
    const builds = await whoIsThere(this.#broker, 'build')
    return builds.some((build) => build.work === work)
  }

  async #hasOthers(): Promise<boolean> {
    const workers = await whoIsThere(this.#broker, 'worker')
    return workers.some((one) => one.id !== this.id && isOurs(one))
  }
}
