import { setTimeout as sleep } from 'node:timers/promises'
import { unitVersion } from '../build/index.js'
import { groupBy } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import { expositionText, type MetricSample } from '../report/index.js'
import { formatSeconds, formatTable } from '../terminal/index.js'
import { keyPrefix, parseQueue, queueName } from './address.js'
import { type Broker, openBroker } from './broker.js'
import { isOurs, type PresentBuild, type PresentWorker, whoIsThere } from './presence.js'

/** State of a farm. */
export interface FarmStatus {
  /** HOST:PORT. */
  readonly broker: string
  readonly farm: string
  /** Version of this mq; the units are those of its queue. */
  readonly version: string
  readonly builds: readonly PresentBuild[]
  readonly workers: readonly PresentWorker[]
  /** Units in the queue: `delayed` ones wait for another attempt. */
  readonly units: { readonly waiting: number; readonly active: number; readonly delayed: number }
  /** Units of the running builds by kind (plan, quantize-part ...). */
  readonly kinds: readonly {
    readonly kind: string
    readonly done: number
    readonly failed: number
    readonly running: number
    readonly waiting: number
  }[]
  /** Units that the running workers have done, and that failed on them. */
  readonly done: number
  readonly failed: number
  /** Units per minute of all workers together, from the mean time of a unit; 0 if none is done yet. */
  readonly unitsPerMinute: number
  /** Seconds for the units in the queue at this rate. Later steps of a build are added once their inputs exist. */
  readonly secondsLeft?: number
}

/** Reads the status of a farm repeatedly over one connection. */
export interface FarmStatusReader extends AsyncDisposable {
  /** Reads the status. @throws MqError BROKER_UNREACHABLE, at once while disconnected, else after five seconds. */
  read(): Promise<FarmStatus>
}

/** Time that a broker has to answer, in milliseconds. */
const answersWithinMs = 5000
/** Time for a connection to close, in milliseconds. */
const goodbyeMs = 1000

/** Connects to the broker of a farm. @throws MqError QUEUE_INVALID, BROKER_UNREACHABLE. */
export async function openFarmStatus(queue: string, signal?: AbortSignal): Promise<FarmStatusReader> {
  const address = parseQueue(queue)
  const broker = await openBroker(address, signal)
  const units = new broker.client.Queue(queueName(address, unitVersion()), { connection: broker.connection, prefix: keyPrefix })
  units.on('error', () => {})
  const gone = (problem: string): MqError => MqError.of('BROKER_UNREACHABLE', { broker: address.broker, problem })
  return {
    async read() {
      if (broker.awayMs() > 0) throw gone('the connection is closed')
      const late = new AbortController()
      const timeout = sleep(answersWithinMs, undefined, { signal: late.signal }).then(() => {
        throw gone(`it did not answer within ${answersWithinMs / 1000} seconds`)
      })
      try {
        return await Promise.race([readStatus(broker, () => units.getJobCounts('waiting', 'active', 'delayed')), timeout])
      } finally {
        late.abort()
        timeout.catch(() => {})
      }
    },
    async [Symbol.asyncDispose]() {
      // Closing waits for a broker that is disconnected.
      const late = new AbortController()
      await Promise.race([units.disconnect(), sleep(goodbyeMs, undefined, { signal: late.signal }).catch(() => {})])
      late.abort()
      await broker[Symbol.asyncDispose]()
    },
  }
}

/** Reads the status of a farm. @throws MqError QUEUE_INVALID, BROKER_UNREACHABLE. */
export async function farmStatus(queue: string, signal?: AbortSignal): Promise<FarmStatus> {
  await using reader = await openFarmStatus(queue, signal)
  return await reader.read()
}

async function readStatus(broker: Broker, countUnits: () => Promise<Readonly<Record<string, number>>>): Promise<FarmStatus> {
  const { address } = broker
  const [builds, workers, counts] = await Promise.all([whoIsThere(broker, 'build'), whoIsThere(broker, 'worker'), countUnits()])
  const { waiting = 0, active = 0, delayed = 0 } = counts
  const perSecond = workers.filter(isOurs).reduce((sum, { done, busySeconds }) => sum + (done === 0 ? 0 : done / busySeconds), 0)
  const left = waiting + active + delayed
  return {
    broker: address.broker,
    farm: address.farm,
    version: unitVersion(),
    builds,
    workers,
    units: { waiting, active, delayed },
    kinds: kindsOf(builds, workers),
    done: workers.reduce((sum, { done }) => sum + done, 0),
    failed: workers.reduce((sum, { failed }) => sum + failed, 0),
    unitsPerMinute: 60 * perSecond,
    ...(perSecond > 0 && { secondsLeft: left / perSecond }),
  }
}

/** Sums the units of all builds by kind; running ones are those of the workers' presence records. */
function kindsOf(builds: readonly PresentBuild[], workers: readonly PresentWorker[]): FarmStatus['kinds'] {
  const running = groupBy(
    workers.flatMap(({ unit }) => unit?.split(' ')[0] ?? []),
    (kind) => kind,
  )
  const entries = builds.flatMap(({ kinds = {} }) => Object.entries(kinds))
  const all = groupBy(entries, ([kind]) => kind)
  return [...new Set([...all.keys(), ...running.keys()])].toSorted().map((kind) => {
    const counts = (all.get(kind) ?? []).map(([, count]) => count)
    const sum = (of: 'done' | 'failed' | 'waiting'): number => counts.reduce((total, count) => total + count[of], 0)
    const runs = running.get(kind)?.length ?? 0
    return { kind, done: sum('done'), failed: sum('failed'), running: runs, waiting: Math.max(0, sum('waiting') - runs) }
  })
}

/** Formats the status for the terminal. */
export function farmStatusText(status: FarmStatus): string {
  const { broker, farm, builds, workers, units, unitsPerMinute, secondsLeft } = status
  const left = secondsLeft === undefined ? '' : `, ${formatSeconds(secondsLeft)} left for them`
  const rate = unitsPerMinute === 0 ? '' : `; ${unitsPerMinute.toFixed(1)} units a minute${left}`
  const waiting = units.waiting + units.delayed
  const lines = [
    `Farm ${farm} at ${broker}: ${builds.length} builds, ${workers.length} workers; ${waiting} units wait, ${units.active} run${rate}.`,
  ]
  for (const { host, pid, folder, done, version } of builds) {
    lines.push(`Build on ${host} (process ${pid}) in ${folder}: ${done} units done${otherVersion(version)}.`)
  }
  if (workers.length > 0) {
    const titles = [
      { title: 'worker' },
      { title: 'host' },
      { title: 'process', align: 'right' as const },
      { title: 'done', align: 'right' as const },
      { title: 'failed', align: 'right' as const },
      { title: 'busy', align: 'right' as const },
      { title: 'unit' },
    ]
    const rows = workers.map(({ id, host, pid, done, failed, busySeconds, unit, version }) => [
      id,
      host,
      `${pid}`,
      `${done}`,
      `${failed}`,
      formatSeconds(busySeconds),
      isOurs({ version }) ? (unit ?? '') : `runs mq ${version}`,
    ])
    lines.push('', formatTable(titles, rows))
  }
  return lines.join('\n')
}

function otherVersion(version: string): string {
  return isOurs({ version }) ? '' : `; it runs mq ${version}`
}

/** Formats the status as metrics for Prometheus. */
export function farmMetrics({ farm, units, kinds, workers, builds }: FarmStatus): string {
  const ofWorkers = (valueOf: (worker: PresentWorker) => number): MetricSample[] =>
    workers.map((worker) => {
      const { id, host, version } = worker
      return { labels: { farm, worker: id, host, version }, value: valueOf(worker) }
    })
  const inQueue = Object.entries(units).map(([state, value]) => ({ labels: { farm, state }, value }))
  const byKind = kinds.flatMap(({ kind, ...states }) =>
    Object.entries(states).map(([state, value]) => ({ labels: { farm, kind, state }, value })),
  )
  const count = (value: number): MetricSample[] => [{ labels: { farm }, value }]
  return expositionText([
    { name: 'mq_farm_units', kind: 'gauge', help: 'Units in the queue.', samples: inQueue },
    { name: 'mq_farm_kind_units', kind: 'gauge', help: 'Units of the builds that are running, by kind.', samples: byKind },
    { name: 'mq_farm_builds', kind: 'gauge', help: 'Builds that are running.', samples: count(builds.length) },
    { name: 'mq_farm_workers', kind: 'gauge', help: 'Workers that are there.', samples: count(workers.length) },
    {
      name: 'mq_farm_worker_busy',
      kind: 'gauge',
      help: 'Whether a worker runs a unit.',
      samples: ofWorkers(({ unit }) => (unit === undefined ? 0 : 1)),
    },
    {
      name: 'mq_farm_worker_units_done_total',
      kind: 'counter',
      help: 'Units that a worker has done.',
      samples: ofWorkers(({ done }) => done),
    },
    {
      name: 'mq_farm_worker_units_failed_total',
      kind: 'counter',
      help: 'Units that failed on a worker.',
      samples: ofWorkers(({ failed }) => failed),
    },
    {
      name: 'mq_farm_worker_busy_seconds_total',
      kind: 'counter',
      help: 'Time in units.',
      samples: ofWorkers(({ busySeconds }) => busySeconds),
    },
  ])
}
