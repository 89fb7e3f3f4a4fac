import { existsSync } from 'node:fs'
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { GgmlTypeName } from '../formats/ggml/types.js'
import { openGguf } from '../formats/gguf/index.js'
import { type Calibration, makeImatrix, openCalibration } from '../src/calibration/index.js'
import { measure } from '../src/engine/index.js'
import type { Blueprint } from '../src/model/blueprint.js'
import { makeBlueprint } from '../src/model/convert/index.js'
import type { Measure, TypeErrors } from '../src/plan/allocate/index.js'
import { type DampingTrials } from '../src/plan/dampings.js'
import { makePlan } from '../src/plan/make-plan.js'
import type { PlanRequest } from '../src/plan/plan-request.js'
import { finish } from '../src/progress/index.js'
import { asGguf } from '../src/quantize/as-gguf.js'
import { quantize } from '../src/quantize/index.js'
import { loadModel } from '../src/runner/index.js'
import { divergenceOf, type Estimate, perplexityOf } from '../src/verify/index.js'
import { foreign } from './foreign.js'
import { fileDigest, type MeasurementCache } from './quality-cache.js'
import { calibrationDigest, type QualitySubject } from './quality-subject.js'
import { targetBpw, type WeighedTensor } from './target-bpw.js'
import { targetBpwErrors } from './target-bpw-errors.js'

/** A GGUF file whose weights are counted. */
export interface QualityFile {
  readonly path: string
  /** Of the whole file. */
  readonly bytes: number
  /** Of the tensors. */
  readonly dataBytes: number
  readonly bitsPerWeight: number
}

/** How well a file predicts a text, against the model of full precision. */
export interface Prediction {
  readonly kld: Estimate
  /** The divergence that 99 % of the tokens do not exceed. */
  readonly kld99: number
  /** Share of tokens for which both hold the same one for the likeliest. */
  readonly sameTop: number
  readonly perplexity: Estimate
}

export interface LabOptions {
  readonly subject: QualitySubject
  /** Most chunks of each text; by default what each text says. */
  readonly chunks?: number | undefined
  readonly cache?: MeasurementCache | undefined
  /** Where files are made, to be thrown away. */
  readonly folder: string
  /** Types that the rule of `--target-bpw` tries; by default all that the proposal does. */
  readonly rivalTypes?: readonly GgmlTypeName[] | undefined
}

/** What is known of the inputs: covariances, for error feedback; their diagonal alone; or nothing. */
export type Known = 'calibration' | 'importance' | 'nothing'

/** One model, with everything that files of it are made from and held against. What does not depend on a budget is found once. */
export class QualityLab implements AsyncDisposable {
  readonly sample: string
  readonly blueprint: Blueprint
  readonly #options: LabOptions
  readonly #reference: string
  readonly #matrix: string
  readonly #calibration: Calibration
  readonly #files = new Map<string, Promise<QualityFile>>()
  /** By the digest of the file. */
  readonly #predictions = new Map<string, Promise<ReadonlyMap<string, Prediction>>>()
  readonly #trials = new Map<Known, DampingTrials>()
  /** By what is known, and the model. */
  readonly #errors = new Map<string, Promise<TypeErrors>>()
  #rivalErrors: Promise<readonly WeighedTensor[]> | undefined
  #bases: Promise<ReadonlyMap<string, string>> | undefined

  constructor(options: LabOptions, blueprint: Blueprint, known: { reference: string; matrix: string; calibration: Calibration }) {
    this.sample = options.subject.name
    this.blueprint = blueprint
    this.#options = options
    this.#reference = known.reference
    this.#matrix = known.matrix
    this.#calibration = known.calibration
  }

  /** The file of a request; `key` names the request. */
  async made(key: string, request: PlanRequest, known: Known): Promise<QualityFile> {
    return await this.#file(`${key}-${known}`, (output) => this.#write(request, output, known))
  }

  /** The file of `--bits`, its tensors of at most `dataBytes` and itself of at most `bytes`. */
  async fitted({ dataBytes, bytes }: { dataBytes: number; bytes: number }, known: Known): Promise<QualityFile> {
    // Half a byte keeps the division from rounding one away.
    const bits = (8 * dataBytes + 4) / elementsOf(this.blueprint)
    const file = await this.made(`${dataBytes}-bytes`, { kind: 'bits', bits }, known)
    return file.bytes <= bytes ? file : await this.fitted({ dataBytes: dataBytes - (file.bytes - bytes), bytes }, known)
  }

  /** llama-quantize's file of a preset, from our GGUF of full precision with the same importance matrix, or with none. @throws where it refuses. */
  async theirs(preset: string, known: Exclude<Known, 'calibration'> = 'importance'): Promise<QualityFile> {
    return await this.#file(`llama.cpp-${preset}-${known}`, (output) => this.#llamaQuantize([], output, preset, known))
  }

  /** llama-quantize's file of the types that its proposed `--target-bpw` would choose, of at most so many bytes of tensors. */
  async targetBpw(dataBytes: number): Promise<QualityFile> {
    return await this.#file(`target-bpw-${dataBytes}`, async (output) => {
      this.#rivalErrors ??= targetBpwErrors(this.blueprint, this.#reference, this.#matrix, this.#options.rivalTypes)
      const tensors = await this.#rivalErrors
      const { tensors: all } = await finish(makePlan(this.blueprint, { kind: 'type', type: this.blueprint.sourceType }))
      const chosen = new Set(tensors.map(({ name }) => name))
      const rest = all.reduce((sum, { name, sizeBytes }) => sum + (chosen.has(name) ? 0 : sizeBytes), 0)
      const types = [...targetBpw(tensors, dataBytes - rest)]
      const lines = types.map(([name, type]) => `^${name.replaceAll('.', '\\.')}$=${type}`)
      const list = `${output}.types`
      await writeFile(list, `${lines.join('\n')}\n`)
      await this.#llamaQuantize(['--tensor-type-file', basename(list)], output, 'Q4_K_M')
    })
  }

  /** How well a file predicts each of the texts. */
  async predictions(file: QualityFile): Promise<ReadonlyMap<string, Prediction>> {
    const digest = await fileDigest(file.path)
    const measured = this.#predictions.get(digest) ?? this.#measure(file.path, digest)
    this.#predictions.set(digest, measured)
    return await measured
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calibration.close()
  }

  async #file(key: string, make: (output: string) => Promise<void>): Promise<QualityFile> {
    const name = `${this.sample}-${key}.gguf`
    const made = this.#files.get(name) ?? make(this.#path(name)).then(() => measureFile(this.#path(name)))
    this.#files.set(name, made)
    return await made
  }

  async #write(request: PlanRequest, output: string, known: Known): Promise<void> {
    const inputs = {
      ...(known !== 'nothing' && { importance: this.#calibration.importance }),
      ...(known === 'calibration' && { calibration: this.#calibration }),
    }
    const trials = this.#trials.get(known) ?? new Map()
    this.#trials.set(known, trials)
    const measured = known === 'nothing' ? undefined : this.#measuredOnce(known)
    const plan = await finish(makePlan(this.blueprint, request, { ...inputs, trials, measure: measured }))
    await finish(quantize({ blueprint: this.blueprint, plan, output, force: true, ...inputs }))
  }

  /** What every type would do to every tensor: the same for all budgets. */
  #measuredOnce(known: Known): Measure {
    const errors = this.#errors
    return async function* (options) {
      const { widened, smoothing } = options.blueprint
      const key = `${known} ${JSON.stringify(widened)} ${smoothing !== undefined}`
      const found = errors.get(key) ?? finish(measure(options))
      errors.set(key, found)
      yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
      return await found
    }
  }

  async #llamaQuantize(options: readonly string[], output: string, preset: string, known: Known = 'importance'): Promise<void> {
    const matrix = known === 'nothing' ? [] : ['--imatrix', basename(this.#matrix)]
    const args = [...options, ...matrix, basename(this.#reference), basename(output), preset]
    await foreign.run('llama-quantize', args, { cwd: this.#options.folder, timeout: 3_600_000 })
  }

  async #measure(path: string, digest: string): Promise<ReadonlyMap<string, Prediction>> {
    this.#bases ??= this.#saveBases()
    const bases = await this.#bases
    const { cache, subject } = this.#options
    const found = new Map<string, Prediction>()
    let model: Awaited<ReturnType<typeof loadModel>> | undefined
    try {
      for (const { name: text, text: content } of subject.texts) {
        const base = bases.get(text) as string
        const key = cache && `${digest} ${await fileDigest(base)}`
        const known = key === undefined ? undefined : cache?.get(key)
        if (known !== undefined) {
          found.set(text, known)
          continue
        }
        model ??= await loadModel(path)
        const compared = await finish(model.compareLogits(base, content))
        const { kld, sameTop } = divergenceOf(compared)
        const prediction = {
          kld: kld.mean,
          kld99: kld.quantiles['99'] as number,
          sameTop: sameTop.value,
          perplexity: perplexityOf(compared.negativeLogLikelihoods),
        }
        found.set(text, prediction)
        if (key !== undefined) await cache?.put(key, prediction)
      }
    } finally {
      await model?.close()
    }
    return found
  }

  /** The reference's logits, once for each text. */
  async #saveBases(): Promise<ReadonlyMap<string, string>> {
    const { subject, chunks } = this.#options
    await using model = await loadModel(this.#reference)
    const bases = new Map<string, string>()
    for (const { name, text, chunks: usual } of subject.texts) {
      const base = this.#path(`${this.sample}-${name}.logits`)
      await finish(model.saveLogits(base, text, { chunks: chunks ?? usual }))
      bases.set(name, base)
    }
    return bases
  }

  #path(name: string): string {
    return join(this.#options.folder, name)
  }
}

/** Makes what a model's files are made from: a GGUF of its own precision, and what calibration says of its inputs. */
export async function openLab(options: LabOptions): Promise<QualityLab> {
  const { subject, folder, cache } = options
  await mkdir(folder, { recursive: true })
  const blueprint = await makeBlueprint(subject.model)
  const reference = join(folder, `${subject.name}-full.gguf`)
  const plan = await finish(makePlan(blueprint, { kind: 'type', type: blueprint.sourceType }))
  await finish(quantize({ blueprint, plan, output: reference }))
  const matrix = join(folder, `${subject.name}-imatrix.gguf`)
  const kept = cache?.folder && join(cache.folder, `imatrix-${calibrationDigest(subject, await fileDigest(reference))}.gguf`)
  if (kept !== undefined && existsSync(kept)) {
    await copyFile(kept, matrix)
  } else {
    const text = join(folder, 'calibration.txt')
    await writeFile(text, subject.calibration)
    const { calibrationChunks: chunks } = subject
    const made = { toGguf: asGguf, model: reference, text, output: matrix, chunks }
    await finish(makeImatrix(made))
    if (kept !== undefined) await copyFile(matrix, kept)
  }
  return new QualityLab(options, blueprint, { reference, matrix, calibration: await openCalibration(matrix, blueprint) })
}

/** Weights of all tensors, over which bits are counted. */
export function elementsOf({ tensors }: Blueprint): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
}

async function measureFile(path: string): Promise<QualityFile> {
  const gguf = await openGguf(path)
  await gguf.close()
  const { tensors } = gguf
  const dataBytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const elements = tensors.reduce((sum, { dimensions }) => sum + dimensions.reduce((product, size) => product * size, 1), 0)
  return { path, bytes: (await stat(path)).size, dataBytes, bitsPerWeight: (8 * dataBytes) / elements }
}
