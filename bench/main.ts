import { parseArgs } from 'node:util'
import { type Effort, efforts } from '../formats/ggml/effort.js'
import { findGgmlType, type GgmlTypeName } from '../formats/ggml/types.js'
import { positiveOf, sizeOf } from './arguments.js'
import { benchBuildKills } from './build-kills.js'
import { ci } from './ci/command.js'
import { coverage } from './coverage/command.js'
import { benchFarm, faults as farmFaults } from './farm.js'
import { farmSimulation } from './farm-simulation/command.js'
import { benchFeedback, type FeedbackMeasurement, type Rank } from './feedback.js'
import { benchKernels, type KernelMeasurement } from './kernels.js'
import { benchKills } from './kills.js'
import { benchPipeline, type PipelineMeasurement } from './pipeline.js'
import type { Usage } from './process-tree.js'
import { quality } from './quality-command.js'
import { benchRegistry, type ServerLoad } from './registry.js'
import { serveBench } from './serve.js'
import { widening } from './widening/command.js'

/** Subcommands of `npm run bench -- NAME`; each takes its arguments and prints its results. */
const benches: Record<string, (args: string[]) => Promise<void>> = {
  'build-kills': buildKills,
  ci,
  coverage,
  farm,
  'farm-simulation': farmSimulation,
  feedback,
  kernels,
  kills,
  pipeline,
  quality,
  registry,
  serve: serveBench,
  widening,
}

async function kernels(args: string[]): Promise<void> {
  const options = {
    json: { type: 'boolean' },
    quick: { type: 'boolean' },
    types: { type: 'string' },
    effort: { type: 'string' },
  } as const
  const { values } = parseArgs({ args, options })
  const types = values.types?.split(',').map(typeOf)
  const chosen = values.effort?.split(',').map(effortOf)
  const found: KernelMeasurement[] = []
  if (values.json !== true) {
    console.log('type     data        importance    effort   Mweights/s  ggml   speed  error  error with ggml’s weights')
  }
  const quick = { data: ['sample'], importances: ['none', 'mean-square'], rounds: 2 } as const
  const narrowed = { ...(values.quick && quick), types, efforts: chosen }
  for await (const measurement of benchKernels(narrowed)) {
    found.push(measurement)
    if (values.json !== true) console.log(line(measurement))
  }
  const columns = found.map(({ conventionalErrorRatio: _, ...rest }) => rest)
  if (values.json === true) console.log(JSON.stringify(columns, null, 2))
}

function typeOf(name: string): GgmlTypeName {
  const type = findGgmlType(name)
  if (type === undefined) throw new Error(`There is no type ${name}.`)
  return type.name
}

function effortOf(name: string): Effort {
  const effort = efforts.find((known) => known === name)
  if (effort === undefined) throw new Error(`There is no effort ${name}: it is ${efforts.join(', ')}.`)
  return effort
}

function line(m: KernelMeasurement): string {
  const speeds = [(m.weightsPerSecond / 1e6).toFixed(1).padStart(10), (m.peerWeightsPerSecond / 1e6).toFixed(1).padStart(6)]
  const ratios = [`${m.speedRatio.toFixed(2)}x`.padStart(7), m.errorRatio.toFixed(4), m.conventionalErrorRatio.toFixed(4)]
  return [m.type.padEnd(8), m.data.padEnd(11), m.importance.padEnd(12), m.effort.padEnd(7), ...speeds, ...ratios].join(' ')
}

/** Lists are separated by commas; ranks are numbers, or `full`. */
async function feedback(args: string[]): Promise<void> {
  const list = { type: 'string' } as const
  const lists = { types: list, ranks: list, dampings: list, efforts: list, contexts: list }
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' }, ...lists } })
  const types = values.types?.split(',').map(typeOf)
  const chosen = values.efforts?.split(',').map(effortOf)
  const ranks = values.ranks?.split(',').map((rank): Rank => (rank === 'full' ? rank : Number(rank)))
  const dampings = values.dampings?.split(',').map(Number)
  const found: FeedbackMeasurement[] = []
  if (values.json !== true) console.log('type     rank damping effort  weights    text             error  Mweights/s  speed')
  const measurements = benchFeedback({
    types,
    ranks,
    dampings,
    efforts: chosen,
    contexts: values.contexts === undefined ? undefined : Number(values.contexts),
    say: (text) => console.error(text),
  })
  for await (const measurement of measurements) {
    found.push(measurement)
    if (values.json !== true) console.log(feedbackLine(measurement))
  }
  if (values.json === true) console.log(JSON.stringify(found, null, 2))
}

function feedbackLine(m: FeedbackMeasurement): string {
  const how = [m.type.padEnd(8), String(m.rank).padStart(4), String(m.damping).padStart(7), m.effort.padEnd(7), m.kind.padEnd(10)]
  const speeds = [(m.weightsPerSecond / 1e6).toFixed(1).padStart(10), `${m.speedRatio.toFixed(2)}x`.padStart(7)]
  return [...how, m.text.padEnd(15), m.errorRatio.toFixed(4), ...speeds].join(' ')
}

async function pipeline(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean' },
      size: { type: 'string', default: '1.5GB' },
      preset: { type: 'string', default: 'Q4_K_M' },
      threads: { type: 'string' },
      memory: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      sparse: { type: 'boolean', default: false },
      feedback: { type: 'boolean', default: false },
    },
  })
  const { preset, sparse, feedback, memory } = values
  const options = {
    bytes: sizeOf('size', values.size),
    preset,
    sparse,
    feedback,
    rounds: Math.max(1, Number(values.rounds) || 1),
    threads: values.threads === undefined ? undefined : Number(values.threads),
    memory,
  }
  const found = await benchPipeline(options, (text) => console.error(text))
  console.log(values.json === true ? JSON.stringify(found, null, 2) : pipelineText(found))
}

async function kills(args: string[]): Promise<void> {
  const options = {
    json: { type: 'boolean' },
    size: { type: 'string', default: '1.5GB' },
    kills: { type: 'string', default: '25' },
    split: { type: 'string' },
  } as const
  const { values } = parseArgs({ args, options })
  const found = await benchKills(
    {
      bytes: sizeOf('size', values.size),
      kills: Number(values.kills),
      splitMaxSize: values.split,
    },
    (text) => console.error(text),
  )
  const bytes = `${found.identical ? 'the same bytes' : 'OTHER BYTES'} in ${found.files} files`
  const repeated = `${(100 * found.repeatedShare).toFixed(2)} % of the work done again for each`
  console.log(values.json === true ? JSON.stringify(found, null, 2) : `${found.kills} kills: ${bytes}, ${repeated}`)
}

async function buildKills(args: string[]): Promise<void> {
  const options = {
    json: { type: 'boolean' },
    file: { type: 'string', default: 'samples/build.yaml' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  } as const
  const { values } = parseArgs({ args, options })
  const [kills, seed] = [positiveOf('kills', values.kills), positiveOf('seed', values.seed)]
  const found = await benchBuildKills({ file: values.file, kills, seed }, (text) => console.error(text))
  const { identical, outputs, repeatedShare, undisturbedCpuSeconds, totalCpuSeconds, startCpuSeconds } = found
  const bytes = `${identical ? 'the same bytes' : 'OTHER BYTES'} in ${outputs} outputs`
  const seconds = `${totalCpuSeconds.toFixed(1)} s of processor time for ${undisturbedCpuSeconds.toFixed(1)} s undisturbed and ${startCpuSeconds.toFixed(1)} s for each start`
  const text = `${found.kills} kills: ${bytes}, ${(100 * repeatedShare).toFixed(2)} % of the work done again for each (${seconds})`
  console.log(values.json === true ? JSON.stringify(found, null, 2) : text)
}

async function farm(args: string[]): Promise<void> {
  const options = {
    json: { type: 'boolean' },
    file: { type: 'string', default: 'samples/build.yaml' },
    synthetic: { type: 'string' },
    workers: { type: 'string', default: '1,2' },
    threads: { type: 'string', default: '2' },
    runs: { type: 'string', default: '1' },
    'fault-workers': { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
  } as const
  const { values } = parseArgs({ args, options })
  const found = await benchFarm(
    {
      file: values.synthetic === undefined ? values.file : sizeOf('synthetic', values.synthetic),
      workers: values.workers.split(',').map((text) => positiveOf('workers', text)),
      threads: positiveOf('threads', values.threads),
      runs: Number(values.runs),
      faultWorkers: positiveOf('fault-workers', values['fault-workers']),
      seed: positiveOf('seed', values.seed),
    },
    (text) => console.error(text),
  )
  const one = found.runs.find(({ workers, fault }) => workers === 1 && fault === 'none')
  const overhead =
    one === undefined
      ? ''
      : `; one worker takes ${(one.cpuSeconds / found.alone.cpuSeconds).toFixed(2)} of the processor time of no queue`
  const rows = farmFaults.map((fault) => {
    const runs = found.runs.filter((run) => run.fault === fault)
    const times = runs.reduce((sum, run) => sum + run.times, 0)
    return `${fault.padEnd(16)} ${runs.length} runs, ${times} times, same bytes in ${runs.filter(({ identical }) => identical).length}`
  })
  const text = [...rows, `${found.outputs} outputs${overhead}`].join('\n')
  console.log(values.json === true ? JSON.stringify(found, null, 2) : text)
}

async function registry(args: string[]): Promise<void> {
  const options = {
    json: { type: 'boolean' },
    size: { type: 'string', default: '1GB' },
    clients: { type: 'string', default: '200' },
    streams: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '6' },
  } as const
  const { values } = parseArgs({ args, options })
  const found = await benchRegistry(
    {
      bytes: sizeOf('size', values.size),
      clients: positiveOf('clients', values.clients),
      streams: positiveOf('streams', values.streams),
      seconds: positiveOf('seconds', values.seconds),
    },
    (text) => console.error(text),
  )
  const speed = (load: ServerLoad | undefined): string =>
    load === undefined
      ? ''
      : `${(load.bytesPerSecond / 1e6).toFixed(0)} MB/s, at most ${(load.peakBytes / 1e6).toFixed(0)} MB of memory, ${load.cpuSecondsPerGigabyte.toFixed(2)} s of CPU a GB`
  const { crowd, stalledClients, mq, nginx, accelerated, ratio, leftOut } = found
  const lines = [
    `${found.clients} clients of a file of ${(found.fileBytes / 1e6).toFixed(0)} MB: ${speed(crowd)}; ${stalledClients} stood still`,
    `${found.streams} clients of mq:    ${speed(mq)}`,
    leftOut === undefined ? `of nginx, sendfile: ${speed(nginx)}; mq at ${ratio?.toFixed(2)} of it` : `NOT COMPARED: ${leftOut}`,
    ...(accelerated === undefined ? [] : [`of nginx before mq, X-Accel-Redirect: ${speed(accelerated)}`]),
  ]
  console.log(values.json === true ? JSON.stringify(found, null, 2) : lines.join('\n'))
}

function pipelineText(found: PipelineMeasurement): string {
  const { mq, mqFromGguf, convert, llamaQuantize, wallRatio, quantizeRatio, cpuRatio, quantizeCpuRatio, leftOut } = found
  const times = (wall?: number, cpu?: number): string => `${wall?.toFixed(2)} times as long (CPU ${cpu?.toFixed(2)})`
  const row = (what: string, usage: Usage | undefined): string[] =>
    usage === undefined ? [] : [[what.padEnd(24), ...figures(usage).map((figure) => figure.padStart(9))].join(' ')]
  return [
    `${(found.weights / 1e6).toFixed(0)} M weights, ${found.preset} with an importance matrix, ${found.threads} threads, medians of ${found.rounds} rounds`,
    `${''.padEnd(24)}      wall       CPU   peak MB   read MB  write MB`,
    ...row('mq quantize', mq),
    ...row('with error feedback', found.mqFeedback),
    ...row('convert_hf_to_gguf.py', convert),
    ...row('llama-quantize', llamaQuantize),
    ...row('mq quantize, from GGUF', mqFromGguf),
    leftOut === undefined
      ? `convert + llama-quantize take ${times(wallRatio, cpuRatio)}; llama-quantize, from the same GGUF, ${times(quantizeRatio, quantizeCpuRatio)}`
      : `NOT COMPARED with llama.cpp: ${leftOut}`,
  ].join('\n')
}

function figures({ wallSeconds, cpuSeconds, peakBytes, readBytes, writtenBytes }: Usage): string[] {
  const megabytes = [peakBytes, readBytes, writtenBytes].map((bytes) => (bytes / 1e6).toFixed(0))
  return [`${wallSeconds.toFixed(1)} s`, `${cpuSeconds.toFixed(1)} s`, ...megabytes]
}

const [name, ...args] = process.argv.slice(2)
const bench = benches[name ?? '']
try {
  if (bench === undefined) throw new Error(`usage: npm run bench -- ${Object.keys(benches).join(' | ')} [--json]`)
  await bench(args)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
