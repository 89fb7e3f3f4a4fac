import { unitVersion } from '../build/index.js'
import { expositionText, type MetricSample } from '../report/index.js'
import { formatSeconds, formatTable } from '../terminal/index.js'
import { keyPrefix, parseQueue, queueName } from './address.js'
import { openBroker } from './broker.js'
import { isOurs, type PresentBuild, type PresentWorker, whoIsThere } from './presence.js'

/** What a farm is doing. */
export interface FarmStatus {
  /** HOST:PORT. */
  readonly broker: string
  readonly farm: string
  /** Of this mq, and of the units that are counted. */
  readonly version: string
  readonly builds: readonly PresentBuild[]
  readonly workers: readonly PresentWorker[]
  /** Units in the queue: `delayed` ones wait for another attempt. */
  readonly units: { readonly waiting: number; readonly active: number; readonly delayed: number }
  /** Units that the workers which are there have done, and not. */
  readonly done: number
  readonly failed: number
  /** Units a minute of these workers together, from the time that theirs took; 0 where none is done yet. */
  readonly unitsPerMinute: number
  /** For the units in the queue at this rate. Later steps of a build come on top, once their inputs are there. */
  readonly secondsLeft?: number
}

/** Asks a broker what its farm is doing. @throws MqError QUEUE_INVALID, BROKER_UNREACHABLE. */
export async function farmStatus(queue: string, signal?: AbortSignal): Promise<FarmStatus> {
  const address = parseQueue(queue)
  await using broker = await openBroker(address, signal)
  const units = new broker.client.Queue(queueName(address, unitVersion()), { connection: broker.connection, prefix: keyPrefix })
  units.on('error', () => {})
  try {
    const [builds, workers, counts] = await Promise.all([
      whoIsThere(broker, 'build'),
      whoIsThere(broker, 'worker'),
      units.getJobCounts('waiting', 'active', 'delayed'),
    ])
    const { waiting = 0, active = 0, delayed = 0 } = counts
    const perSecond = workers
      .filter(isOurs)
      .reduce((sum, { done, busySeconds }) => sum + (done === 0 ? 0 : done / busySeconds), 0)
    const left = waiting + active + delayed
    return {
      broker: address.broker,
      farm: address.farm,
      version: unitVersion(),
      builds,
      workers,
      units: { waiting, active, delayed },
      done: workers.reduce((sum, { done }) => sum + done, 0),
      failed: workers.reduce((sum, { failed }) => sum + failed, 0),
      unitsPerMinute: 60 * perSecond,
      ...(perSecond > 0 && { secondsLeft: left / perSecond }),
    }
  } finally {
    await units.disconnect()
  }
}

/** The status as a user reads it on the terminal. */
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

/** The status for Prometheus. */
export function farmMetrics({ farm, units, workers, builds }: FarmStatus): string {
  const ofWorkers = (valueOf: (worker: PresentWorker) => number): MetricSample[] =>
    workers.map((worker) => {
      const { id, host, version } = worker
      return { labels: { farm, worker: id, host, version }, value: valueOf(worker) }
    })
  const inQueue = Object.entries(units).map(([state, value]) => ({ labels: { farm, state }, value }))
  const count = (value: number): MetricSample[] => [{ labels: { farm }, value }]
  return expositionText([
    { name: 'mq_farm_units', kind: 'gauge', help: 'Units in the queue.', samples: inQueue },
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
