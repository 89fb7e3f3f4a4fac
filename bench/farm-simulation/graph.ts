import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Codec, openCodec } from '../../formats/ggml/codec.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { partTensors } from '../../src/build/run/units/plan-unit.js'
import { chunkGroups } from '../../src/calibration/index.js'
import { rangesOf } from '../../src/collections/index.js'
import { runElements } from '../../src/engine/index.js'
import { makeBlueprint } from '../../src/model/index.js'
import { secondsPerWeight } from '../../src/plan/dry-run/duration.js'
import { layoutOutput, makePlan, type Plan, type PlanningOptions, planUniform, typicalMeasure } from '../../src/plan/index.js'
import { finish } from '../../src/progress/index.js'
import { outputRanges } from '../../src/quantize/index.js'
import { sourceOf } from '../../src/quantize/output/write-output.js'
import { tasksOf, writtenBytes } from '../../src/quantize/tasks.js'
import { batchGroups } from '../../src/verify/index.js'
import { config, writeDeepseekR1 } from '../deepseek-r1-checkpoint.js'

/** A unit as the simulation has it: what it reads, computes and writes, one after the other. */
export interface SimulatedUnit {
  readonly readBytes: number
  /** Processor time. */
  readonly cpuSeconds: number
  readonly writtenBytes: number
}

/** Units that can run at the same time, once all of other stages are done. */
export interface Stage {
  readonly name: string
  readonly after: readonly string[]
  readonly units: readonly SimulatedUnit[]
}

/** What units cost. */
export interface Rates {
  /** Additions and multiplications of llama.cpp in a second and thread, on 16-bit weights. */
  readonly operationsPerSecond: number
  /** How many times as long encoding takes with error feedback. */
  readonly feedbackFactor: number
  /** Decoding, statistics and waiting beside the encoder. */
  readonly overhead: number
}

/** Texts of the build: tokens of calibration, and of the test. */
export interface Texts {
  readonly calibrationTokens: number
  readonly testTokens: number
}

const contextLength = 512
/** Weights of a tensor that are sampled. */
const sampledWeights = 2 ** 18
/** Of importance of all experts, and of covariances. */
const calibrationBytes = 2e9
/** Weights that a token meets. */
const activeWeights = 37e9

/** The units of a build of DeepSeek-R1 at so many bits per weight, with a calibration and a test, from its config.json and headers alone. */
export async function deepseekGraph(bits: number, rates: Rates, { calibrationTokens, testTokens }: Texts): Promise<Stage[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-simulation-'))
  try {
    const blueprint = await makeBlueprint(await writeDeepseekR1(join(folder, 'DeepSeek-R1')))
    const requests: Parameters<NonNullable<PlanningOptions['measure']>>[0]['requests'][number][] = []
    const measure: NonNullable<PlanningOptions['measure']> = (options) => {
      requests.push(...options.requests)
      return typicalMeasure(options)
    }
    const plan = await finish(makePlan(blueprint, { kind: 'bits', bits }, { measure }))
    const codec = await openCodec()
    const whole = planUniform(blueprint, blueprint.sourceType)
    const modelBytes = whole.dataBytes
    const runTokens = (tokens: number): number => (2 * activeWeights * tokens) / rates.operationsPerSecond
    const chunkTokens = (range: { readonly first: number; readonly end: number }): number =>
      (range.end - range.first) * contextLength
    const groups = (cut: (count: number) => { readonly first: number; readonly end: number }[], tokens: number): number[] =>
      cut(Math.floor(tokens / contextLength)).map(chunkTokens)
    const calibrated = groups((count) => chunkGroups(count, contextLength, 16), calibrationTokens)
    const tested = groups((count) => batchGroups(count, contextLength, 2), testTokens)
    const logitBytes = (tokens: number): number => tokens * config.vocab_size
    const copy = (bytes: number): SimulatedUnit => ({ readBytes: bytes, cpuSeconds: 0, writtenBytes: bytes })
    const parts = (made: Plan, factor: number): SimulatedUnit[] => unitsOfOutput(blueprint, made, codec, factor)
    const fed = rates.overhead * rates.feedbackFactor
    return [
      { name: 'convert', after: [], units: parts(whole, rates.overhead) },
      { name: 'convert: assemble', after: ['convert'], units: [copy(modelBytes)] },
      {
        name: 'calibrate',
        after: ['convert: assemble'],
        units: calibrated.map((tokens) => ({
          readBytes: modelBytes,
          cpuSeconds: runTokens(tokens),
          writtenBytes: calibrationBytes,
        })),
      },
      {
        name: 'calibrate: merge',
        after: ['calibrate'],
        units: [{ readBytes: calibrated.length * calibrationBytes, cpuSeconds: 30, writtenBytes: calibrationBytes }],
      },
      {
        name: 'reference',
        after: ['convert: assemble'],
        units: tested.map((tokens) => ({
          readBytes: modelBytes,
          cpuSeconds: runTokens(tokens),
          writtenBytes: logitBytes(tokens),
        })),
      },
      { name: 'reference: join', after: ['reference'], units: [copy(logitBytes(testTokens))] },
      {
        name: 'plan: errors',
        after: ['calibrate: merge'],
        units: rangesOf(requests.length, partTensors).map(({ first, end }) => {
          const own = requests.slice(first, end)
          const cpuSeconds = own.reduce(
            (sum, { types }) => sum + fed * sampledWeights * types.reduce((all, type) => all + secondsPerWeight(codec, type), 0),
            0,
          )
          return { readBytes: own.length * sampledWeights + calibrationBytes / 100, cpuSeconds, writtenBytes: 1e5 }
        }),
      },
      { name: 'plan', after: ['plan: errors'], units: [{ readBytes: 1e8, cpuSeconds: 30, writtenBytes: 1e6 }] },
      { name: 'quantize', after: ['plan'], units: parts(plan, fed) },
      { name: 'quantize: assemble', after: ['quantize'], units: [copy(plan.dataBytes)] },
      {
        name: 'measure',
        after: ['quantize: assemble', 'reference: join'],
        units: tested.map((tokens) => ({
          readBytes: plan.dataBytes + logitBytes(tokens),
          cpuSeconds: runTokens(tokens),
          writtenBytes: 15 * tokens,
        })),
      },
      {
        name: 'measure: join',
        after: ['measure'],
        units: [{ readBytes: plan.dataBytes, cpuSeconds: plan.dataBytes / 1.5e9, writtenBytes: 1e5 }],
      },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The parts that an output is cut into; the source has a byte for each weight. */
function unitsOfOutput(
  blueprint: Awaited<ReturnType<typeof makeBlueprint>>,
  plan: Plan,
  codec: Codec,
  factor: number,
): SimulatedUnit[] {
  const layout = layoutOutput(blueprint, plan, 'output.gguf')
  const tasks = tasksOf(sourceOf({ blueprint, layout, importance: undefined, feedback: undefined }, ['output.gguf']))
  const seconds = new Map<GgmlTypeName, number>()
  return outputRanges(blueprint, plan).map(({ first, end }) => {
    let [readBytes, cpuSeconds, written] = [0, 0, 0]
    for (let task = first; task < end; task += 1) {
      const { value } = tasks.next()
      if (value === undefined) break
      const weights = runElements(value.run)
      const each = seconds.get(value.type) ?? Math.max(decodingSeconds, secondsPerWeight(codec, value.type))
      seconds.set(value.type, each)
      readBytes += weights
      cpuSeconds += factor * weights * each
      written += writtenBytes(value)
    }
    return { readBytes, cpuSeconds, writtenBytes: written }
  })
}

/** Of a weight that is decoded from 8 bits and stored as it is. */
const decodingSeconds = 2e-9
