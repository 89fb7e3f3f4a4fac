import { parseArgs } from 'node:util'
import { positiveOf } from '../arguments.js'
import { redisServer } from '../redis.js'
import { brokerThroughput } from './broker.js'
import { deepseekGraph } from './graph.js'
import { type Simulated, simulate } from './simulate.js'

/** `npm run bench -- farm-simulation`: a build of DeepSeek-R1 on farms of many sizes, and what the broker bears. */
export async function farmSimulation(args: string[]): Promise<void> {
  const number = (value: string) => ({ type: 'string', default: value }) as const
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean' },
      bits: number('2.51'),
      workers: number('1,2,4,8,16,32,64,128,256'),
      threads: number('16'),
      // Gigabytes a second.
      link: number('1.25'),
      storage: number('10'),
      hash: number('1.5'),
      // Seconds.
      broker: number('0.3'),
      // Gigaoperations a second and thread.
      operations: number('18'),
      feedback: number('4'),
      calibration: number('131072'),
      test: number('32768'),
      units: number('20000'),
    },
  })
  const given = (name: Exclude<keyof typeof values, 'json' | 'workers'>): number => positiveOf(name, values[name])
  const rates = { operationsPerSecond: 1e9 * given('operations'), feedbackFactor: given('feedback'), overhead: 1.5 }
  const texts = { calibrationTokens: given('calibration'), testTokens: given('test') }
  const stages = await deepseekGraph(given('bits'), rates, texts)
  const farm = {
    threads: given('threads'),
    linkBytesPerSecond: 1e9 * given('link'),
    storageBytesPerSecond: 1e9 * given('storage'),
    brokerSeconds: given('broker'),
    hashBytesPerSecond: 1e9 * given('hash'),
  }
  const runs = values.workers.split(',').map((text) => simulate(stages, { ...farm, workers: positiveOf('workers', text) }))
  const broker = redisServer.available ? await brokerThroughput(given('units'), 8) : undefined
  if (values.json === true) {
    const units = stages.map(({ name, units: own }) => ({
      name,
      units: own.length,
      cpuSeconds: own.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    }))
    console.log(JSON.stringify({ stages: units, runs, broker }, null, 2))
    return
  }
  for (const { name, units } of stages) {
    const seconds = units.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0)
    console.log(
      `${name.padEnd(20)} ${String(units.length).padStart(6)} units ${(seconds / 3600).toFixed(2).padStart(8)} h of processor time`,
    )
  }
  console.log('workers     time  speed-up      moved  computing  storage busy  build checks')
  for (const run of runs) console.log(line(run, runs[0] as Simulated))
  console.log(
    broker === undefined
      ? redisServer.name
      : `broker: ${broker.unitsPerSecond.toFixed(0)} units a second, ${(1000 * broker.cpuSecondsPerUnit).toFixed(2)} ms of processor time each`,
  )
}

function line({ workers, seconds, movedBytes, computing, storageBusy, checking }: Simulated, first: Simulated): string {
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`
  return [
    String(workers).padStart(7),
    `${(seconds / 3600).toFixed(2)} h`.padStart(8),
    ((first.seconds * first.workers) / seconds).toFixed(1).padStart(9),
    `${(movedBytes / 1e12).toFixed(1)} TB`.padStart(10),
    percent(computing).padStart(10),
    percent(storageBusy).padStart(13),
    percent(checking).padStart(13),
  ].join(' ')
}
