import { basename } from 'node:path'
import { llamaVersion } from '../../runner/index.js'
import { readSize } from '../../terminal/index.js'
import type { BuildSpec, ModelSpec, OutputSpec } from '../file/build-spec.js'
import type { Given, Graph, Json, Step, StepInput, StepKind } from './step.js'

/** A source of the build file, found on this machine. */
export interface GivenModel extends Given {
  readonly kind: 'checkpoint' | 'gguf'
  /** The model's name where its place says it: of a folder, or of a repository. */
  readonly modelName: string
}

/** What a model takes from outside. */
export interface GivenInputs {
  readonly source: GivenModel
  readonly reference?: GivenModel
  readonly lora: readonly (Given & { readonly scale: number })[]
  /** Texts to calibrate on, or the file of a calibration. */
  readonly calibration: readonly Given[]
  readonly test?: Given
  /** Plans and mixtures of outputs, by the output's name. */
  readonly plans: ReadonlyMap<string, Given>
  readonly mixtures: ReadonlyMap<string, Given>
}

/** The graph of a build. @param inputs by the key of the model. */
export function makeGraph({ models }: BuildSpec, inputs: ReadonlyMap<string, GivenInputs>): Graph {
  const steps: Step[] = []
  const givens = new Map<string, Given>()
  const given = (one: Given): StepInput => {
    // Of one content under two names, each is read under its own: metadata may be made from it.
    const key = `${one.digest} ${one.path}`
    givens.set(key, one)
    return { given: key }
  }
  const calibrations = new Map<string, StepInput>()
  const context = { steps, given, calibrations }
  for (const model of calibrationOrder(models)) addModel(context, model, inputs.get(model.key) as GivenInputs)
  return { steps, givens }
}

interface Context {
  readonly steps: Step[]
  readonly given: (one: Given) => StepInput
  /** Calibrations of models that were added. */
  readonly calibrations: Map<string, StepInput>
}

/** Models after those whose calibration they use. Circles were refused. */
function calibrationOrder(models: readonly ModelSpec[]): ModelSpec[] {
  const byKey = new Map(models.map((model) => [model.key, model]))
  const ordered = new Set<ModelSpec>()
  const add = (model: ModelSpec): void => {
    const other = byKey.get(model.calibration?.['same-as'] ?? '')
    if (other !== undefined) add(other)
    ordered.add(model)
  }
  for (const model of models) add(model)
  return [...ordered]
}

function addModel({ steps, given, calibrations }: Context, model: ModelSpec, inputs: GivenInputs): void {
  const { key, placeOf, calibration, test } = model
  const { source, reference, lora } = inputs
  const add = (
    kind: StepKind,
    name: string,
    part: readonly (string | number)[],
    taken: Readonly<Record<string, StepInput>>,
    options: Step['options'],
    output?: string,
  ): StepInput => {
    const id = `${key}/${name}`
    steps.push({ id, kind, model: key, inputs: taken, options, place: placeOf(part), output })
    return { step: id }
  }

  const adapters = Object.fromEntries(lora.map((one, index) => [`lora${index}`, given(one)]))
  const sourceInputs = { model: given(source), ...adapters }
  const said = {
    modelName: source.modelName,
    name: model.name,
    pre: model.pre,
    mtp: model.mtp,
    scales: lora.map(({ scale }) => scale),
  }
  let converted: StepInput | undefined
  /** The model as a GGUF that llama.cpp can run. */
  const runnable = (): StepInput => {
    if (source.kind === 'gguf') return given(source)
    converted ??= add('convert', 'convert', ['source'], sourceInputs, said)
    return converted
  }
  const llama = { llama: llamaVersion }

  const calibrated = (): StepInput | undefined => {
    if (calibration === undefined) return undefined
    if (calibration['same-as'] !== undefined) return calibrations.get(calibration['same-as'])
    if (calibration.file !== undefined) return given(inputs.calibration[0] as Given)
    const { chunks, rank, memory, context: contextLength } = calibration
    const parts = inputs.calibration.map((text, index) => {
      const options = {
        ...llama,
        dataset: basename(text.path),
        chunks,
        contextLength,
        rank,
        memory: memory === undefined ? undefined : readSize(memory),
        processOutput: calibration['process-output'],
      }
      const name = inputs.calibration.length === 1 ? 'calibrate' : `calibrate-${index + 1}`
      return add('calibrate', name, ['calibration', 'text', index], { model: runnable(), text: given(text) }, options)
    })
    if (parts.length === 1) return parts[0]
    return add('merge', 'merge', ['calibration'], Object.fromEntries(parts.map((part, index) => [`part${index}`, part])), {})
  }
  const known = calibrated()
  if (known !== undefined) calibrations.set(key, known)

  const outputs = Object.entries(model.outputs).map(([name, output]) => {
    const use = known === undefined ? 'none' : (output.calibration ?? 'full')
    const knownInputs: Readonly<Record<string, StepInput>> = use === 'none' || known === undefined ? {} : { calibration: known }
    const { plans, mixtures } = inputs
    const asked = { plan: plans.get(name), mixture: mixtures.get(name) }
    const files = Object.entries(asked).flatMap(([role, file]) => (file === undefined ? [] : [[role, given(file)] as const]))
    const part = ['outputs', name]
    const plan = add(
      'plan',
      `plan/${name}`,
      part,
      { ...sourceInputs, ...knownInputs, ...Object.fromEntries(files) },
      { ...said, use, request: requestOf(output) },
      name,
    )
    const shards = output.shards === undefined ? undefined : readSize(output.shards)
    const written = { ...said, use, effort: output.effort ?? 'default', shards, fileName: `${key}-${name}.gguf` }
    const file = add('quantize', `quantize/${name}`, part, { ...sourceInputs, ...knownInputs, plan }, written, name)
    return { name, file }
  })

  const tested = inputs.test
  if (test === undefined || tested === undefined) return
  const measured = { ...llama, chunks: test.chunks, contextLength: test.context, text: basename(tested.path) }
  const described = reference ?? source
  const ran =
    reference === undefined
      ? runnable()
      : reference.kind === 'gguf'
        ? given(reference)
        : add(
            'convert',
            'convert-reference',
            ['reference'],
            { model: given(reference) },
            { modelName: reference.modelName, scales: [] },
          )
  const logits = add(
    'reference',
    'reference',
    ['test'],
    { model: ran, text: given(tested) },
    {
      ...measured,
      reference: { name: basename(described.modelName), files: identityOf(described, reference === undefined ? lora : []) },
    },
  )
  for (const { name, file } of outputs) {
    add('measure', `measure/${name}`, ['test'], { model: file, reference: logits, text: given(tested) }, measured, name)
  }
}

/** What a report says of the files of a reference. */
function identityOf(model: GivenModel, lora: GivenInputs['lora']): Json {
  const own = model.files.filter(({ name }) => model.kind === 'gguf' || /\.(?:safetensors|json)$/.test(name))
  const adapters = lora.flatMap(({ path, scale, files }) =>
    files.map((file) => ({ ...file, name: `${basename(path)}/${file.name}${scale === 1 ? '' : `:${scale}`}` })),
  )
  return [...own, ...adapters].map(({ name, sha256, sizeBytes }) => ({ name, sha256, sizeBytes }))
}

/** What of an output the plan depends on; files are inputs. */
function requestOf({ effort: _, plan, mixture, shards, calibration: __, ...rest }: OutputSpec): Json {
  return {
    ...rest,
    // Where the file is to be split, its size depends on it.
    shards: rest.size !== undefined && shards !== undefined ? readSize(shards) : undefined,
    plan: plan === undefined ? undefined : true,
    mixture: mixture === undefined ? undefined : basename(mixture).replace(/\.json$/i, ''),
  }
}
