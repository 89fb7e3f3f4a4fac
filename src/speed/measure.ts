import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import type { TimedModel } from '../runner/index.js'
import { readReport, reportPath, type VerifyReport } from '../verify/index.js'

/** Loads a model with the options of the measurement. */
export type Load = (path: string) => Promise<TimedModel>

/** What is timed: `pp512` is a prompt of 512 tokens, `tg128` are 128 tokens one by one, as llama-bench names them. */
export interface SpeedTest {
  readonly promptTokens: number
  readonly generatedTokens: number
}

export interface SpeedOptions {
  readonly load: Load
  readonly tests: readonly SpeedTest[]
  /** Of each test, at least 1. */
  readonly repetitions: number
  /** A file that each model is compared with, run by run in turn. */
  readonly against?: string | undefined
}

/** Tokens per second of one test, over its repetitions. */
export interface Speed {
  readonly test: string
  readonly tokensPerSecond: number
  /** Sample standard deviation, as in llama-bench; 0 of one repetition. */
  readonly deviation: number
  readonly samples: readonly number[]
}

/** Speed of a model over that of the other, from runs in turn: mean of the ratios of neighbours. */
export interface PairedSpeed {
  readonly test: string
  readonly ratio: number
  readonly standardError: number
}

export interface ModelSpeed {
  readonly model: string
  readonly path: string
  readonly description: string
  readonly sizeBytes: number
  readonly parameters: number
  readonly speeds: readonly Speed[]
  /** Against the file of `against`. */
  readonly paired?: readonly PairedSpeed[]
  /** Mean KL divergence of a report of `mq verify` that lies beside the file. */
  readonly kld?: { readonly value: number; readonly standardError: number }
}

export interface SpeedReport {
  readonly llamaVersion: string
  /** GPUs that llama.cpp finds, whether or not the models use them. */
  readonly gpus: readonly string[]
  readonly repetitions: number
  readonly models: readonly ModelSpeed[]
  readonly against?: ModelSpeed
}

/**
 * Measures tokens per second of models, one after the other; each beside `against`, whose runs alternate with its own, so that what slows
 * the machine for a while slows both.
 * @throws MqError as load; LLAMA_CRASHED.
 */
export async function* measureSpeeds(paths: readonly string[], options: SpeedOptions): WithProgress<SpeedReport> {
  const { load, tests, repetitions, against } = options
  const total = paths.length * tests.length * repetitions * (against === undefined ? 1 : 2)
  let done = 0
  const models: ModelSpeed[] = []
  let llamaVersion = ''
  let gpus: readonly string[] = []
  let other: TimedModel | undefined
  let otherSpeed: ModelSpeed | undefined
  try {
    if (against !== undefined) other = await load(against)
    for (const path of paths) {
      await using model = await load(path)
      ;({ llamaVersion, gpus } = model.info)
      const speeds: Speed[] = []
      const otherSpeeds: Speed[] = []
      const paired: PairedSpeed[] = []
      for (const test of tests) {
        const own: number[] = []
        const others: number[] = []
        for (let repetition = 0; repetition < repetitions; repetition += 1) {
          const runs = [
            async () => void own.push(await run(model, test, repetition === 0)),
            ...(other === undefined
              ? []
              : [async () => void others.push(await run(other as TimedModel, test, repetition === 0))]),
          ]
          // Every other time the other way round: neither always comes second.
          for (const one of repetition % 2 === 0 ? runs : runs.toReversed()) {
            await one()
            done += 1
            yield { stage: 'measure', done, total, unit: 'runs' }
          }
        }
        speeds.push(speedOf(test, own))
        if (other === undefined) continue
        otherSpeeds.push(speedOf(test, others))
        const ratios = own.map((speed, index) => speed / (others[index] as number))
        const { mean, deviation } = moments(ratios)
        paired.push({ test: nameOf(test), ratio: mean, standardError: deviation / Math.sqrt(ratios.length) })
      }
      models.push(await describe(model, speeds, other === undefined ? undefined : paired))
      if (other !== undefined) otherSpeed = await describe(other, otherSpeeds)
    }
  } finally {
    await other?.[Symbol.asyncDispose]()
  }
  return { llamaVersion, gpus, repetitions, models, ...(otherSpeed !== undefined && { against: otherSpeed }) }
}

/** Tokens per second of one run. */
async function run(model: TimedModel, test: SpeedTest, warmUp: boolean): Promise<number> {
  for await (const { seconds } of model.speed({ ...test, repetitions: 1, warmUp })) {
    return (test.promptTokens + test.generatedTokens) / seconds
  }
  throw MqError.of('INTERNAL', { problem: 'a run gave no time' })
}

function nameOf({ promptTokens, generatedTokens }: SpeedTest): string {
  if (promptTokens > 0 && generatedTokens > 0) return `pp${promptTokens}+tg${generatedTokens}`
  return promptTokens > 0 ? `pp${promptTokens}` : `tg${generatedTokens}`
}

function speedOf(test: SpeedTest, samples: readonly number[]): Speed {
  const { mean, deviation } = moments(samples)
  return { test: nameOf(test), tokensPerSecond: mean, deviation, samples }
}

function moments(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1)
  return { mean, deviation: values.length < 2 ? 0 : Math.sqrt(variance) }
}

async function describe(model: TimedModel, speeds: readonly Speed[], paired?: readonly PairedSpeed[]): Promise<ModelSpeed> {
  const { description, parameters, sizeBytes } = model.info
  const path = reportPath(model.path)
  const mean = (await reportOf(model.path, path))?.divergence?.kld.mean
  return {
    model: basename(model.path),
    path: model.path,
    description,
    sizeBytes,
    parameters,
    speeds,
    ...(paired !== undefined && { paired }),
    ...(mean !== undefined && { kld: { value: mean.value, standardError: mean.standardError } }),
  }
}

/** The report beside a file, where by name, size and time it is of that file and no earlier one: its hash would take as long as the runs. */
async function reportOf(model: string, path: string): Promise<VerifyReport | undefined> {
  const [file, written] = await Promise.all([stat(model), stat(path).catch(() => undefined)])
  if (written === undefined || written.mtimeMs < file.mtimeMs) return undefined
  const report = await readReport(path).catch(() => undefined)
  const isOfFile = report?.files.some(({ name, sizeBytes }) => name === basename(model) && sizeBytes === file.size)
  return isOfFile === true ? report : undefined
}
