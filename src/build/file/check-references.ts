import { MqError } from '../../errors/index.js'
import { planChoices } from '../../plan/index.js'
import { parseModelName, parseTarget } from '../../registry/index.js'
import { readShare } from '../../terminal/index.js'
import { checkAskedGates } from '../../verify/index.js'
import { type BuildGate, parseBuildGate } from '../gates/parse-gate.js'
import type { ModelSpec, OutputSpec } from './build-spec.js'
import { budgetGoals } from './output-fields.js'
import type { Problem } from './read-fields.js'

type Part = readonly (string | number)[]
type Report = (model: ModelSpec, part: Part, problem: string) => void

/** What is wrong between the parts of a build file: names that are none, references in a circle, values that do not go together. */
export async function checkReferences(models: readonly ModelSpec[]): Promise<Problem[]> {
  const problems: Problem[] = []
  const report: Report = ({ placeOf }, part, problem) => void problems.push({ ...placeOf(part), problem })
  const choices = await planChoices()
  const known = {
    presets: new Set(choices.presets.flatMap(({ name, aliases }) => [name, ...aliases])),
    mixtures: new Set(choices.mixtures.map(({ name }) => name)),
  }
  const alike = new Map(alikeNames(models.map(({ key }) => key)))
  for (const model of models) {
    const other = alike.get(model.key)
    if (other !== undefined) report(model, [], `${model.key} and ${other} differ by the case of letters alone`)
    checkCalibration(model, models, report)
    checkOutputs(model, known, report)
    checkGates(model, report)
    checkPublications(model, report)
  }
  checkTwice(models, report)
  return problems
}

/** Names that a file system may take for those before them, each with the other. */
function alikeNames(names: readonly string[]): (readonly [string, string])[] {
  const seen = new Map<string, string>()
  return names.flatMap((name) => {
    const other = seen.get(name.toLowerCase())
    seen.set(name.toLowerCase(), name)
    return other === undefined ? [] : [[name, other] as const]
  })
}

function checkCalibration(model: ModelSpec, models: readonly ModelSpec[], report: Report): void {
  const part = ['calibration', 'same-as']
  if (model.lora.length > 0 && /\.gguf$/i.test(model.source)) {
    report(model, ['lora'], 'adapters are merged into a checkpoint, and the source is a GGUF file')
  }
  const path = [model.key]
  for (let at = model.calibration?.['same-as']; at !== undefined; ) {
    const next: ModelSpec | undefined = models.find(({ key }) => key === at)
    if (next === undefined) {
      if (path.length === 1) report(model, part, `there is no model ${at}; there are ${models.map(({ key }) => key).join(', ')}`)
      return
    }
    if (path.includes(at)) {
      report(model, part, `calibrations refer to each other in a circle: ${[...path, at].join(' -> ')}`)
      return
    }
    if (next.calibration === undefined) {
      if (path.length === 1) report(model, part, `the model ${at} has no calibration`)
      return
    }
    path.push(at)
    at = next.calibration['same-as']
  }
}

interface Known {
  readonly presets: ReadonlySet<string>
  readonly mixtures: ReadonlySet<string>
}

function checkOutputs(model: ModelSpec, { presets, mixtures }: Known, report: Report): void {
  const { outputs, calibration } = model
  if (Object.keys(outputs).length === 0) report(model, [], `models.${model.key} has no outputs`)
  for (const [name, other] of alikeNames(Object.keys(outputs))) {
    report(model, ['outputs', name], `${name} and ${other} differ by the case of letters alone`)
  }
  for (const [name, output] of Object.entries(outputs)) {
    const at = (key: string, problem: string): void => report(model, ['outputs', name, key], problem)
    const { preset, mixture } = output
    if (preset !== undefined && !presets.has(preset.toUpperCase()))
      at('preset', `there is no preset ${preset}; known are ${[...presets].join(', ')}`)
    if (mixture !== undefined && /^[\w.-]+$/.test(mixture) && !mixtures.has(mixture.toLowerCase())) {
      at('mixture', `there is no mixture ${mixture}; known are ${[...mixtures].join(', ')}`)
    }
    for (const [key, problem] of conflictsOf(output, calibration !== undefined)) at(key, problem)
  }
}

/** Values of an output that do not go together, or are not of their form. */
function* conflictsOf(output: OutputSpec, isCalibrated: boolean): Generator<readonly [key: string, problem: string]> {
  const { calibration: use, sensitivity, smooth, plan, widen } = output
  const isBudget = budgetGoals.some((goal) => output[goal] !== undefined)
  if (use !== undefined && use !== 'none' && !isCalibrated) yield ['calibration', 'the model has no calibration']
  const isKnown = isCalibrated && use !== 'none'
  if (sensitivity === 'fast' && !(isKnown && use !== 'importance'))
    yield ['sensitivity', 'fast needs a calibration with covariances']
  if (smooth === true && !isKnown) yield ['smooth', 'it needs a calibration']
  if (plan !== undefined && output['tensor-types'] !== undefined) yield ['tensor-types', 'the plan says the type of every tensor']
  if (plan !== undefined && widen !== undefined) yield ['widen', 'the plan says which widths its model has']
  if (widen === 'auto' && !isBudget) yield ['widen', 'auto needs bits, size or fit']
  const forms = [
    ['floors', /^[\w-]+=\w+$/, 'ROLE=TYPE, such as attention=Q5_K'],
    ['ties', /^[\w-]+(?:\s*,\s*[\w-]+)+$/, 'ROLE,ROLE, such as gate,up'],
    ['candidates', /^\w+$/, 'TYPE, such as Q2_0'],
    ['tensor-types', /^.+=\w+$/, 'REGEX=TYPE, such as ffn_down=Q6_K'],
  ] as const
  for (const [key, form, example] of forms) {
    const wrong = output[key]?.find((spec) => !form.test(spec))
    if (wrong !== undefined) yield [key, `${JSON.stringify(wrong)} is not ${example}`]
  }
}

function checkGates(model: ModelSpec, report: Report): void {
  const names = Object.keys(model.outputs)
  for (const [index, { gate: text, outputs, confidence }] of model.gates.entries()) {
    const at = (problem: string, ...part: Part): void => report(model, ['gates', index, ...part], problem)
    checkNames(outputs, names, (problem, place) => at(problem, 'outputs', place))
    const gate = parseBuildGate(text)
    const figure = gate.kind === 'number' ? gate.gate.figure : gate.figure
    if (model.test === undefined && figure !== 'size' && figure !== 'bits') {
      at(`a gate on ${figure} needs a test, with the text to measure on`, 'gate')
    }
    const share = confidence === undefined ? undefined : (readShare(confidence) as number)
    const problem =
      gate.kind === 'number' ? numberGateProblem(gate, text, names, share) : outputGateProblem(gate, names, outputs, share)
    if (problem !== undefined) at(problem, 'gate')
  }
}

function numberGateProblem(
  { gate }: Extract<BuildGate, { kind: 'number' }>,
  text: string,
  names: readonly string[],
  confidence: number | undefined,
): string | undefined {
  const limit = text.replace(/^.*[<>]=\s*/, '').trim()
  if (names.includes(limit)) return `${limit} is a limit and also the name of an output; give the output another name`
  try {
    checkAskedGates([gate], { versus: false, confidence })
    return undefined
  } catch (error) {
    return String(MqError.from(error).details['problem'])
  }
}

function outputGateProblem(
  { figure, other, factor }: Extract<BuildGate, { kind: 'output' }>,
  names: readonly string[],
  outputs: readonly string[] | undefined,
  confidence: number | undefined,
): string | undefined {
  if (!names.includes(other)) return `there is no output ${other}; there are ${names.join(', ')}`
  if (outputs?.includes(other) === true) return `${other} would be compared with itself`
  if (names.length === 1) return `there is no other output that could be compared with ${other}`
  const isPaired = figure === 'kld.mean' && factor === 1
  return confidence === undefined || isPaired
    ? undefined
    : 'a confidence against another output is known for kld alone, without a factor'
}

function checkNames(
  given: readonly string[] | undefined,
  names: readonly string[],
  report: (problem: string, index: number) => void,
): void {
  for (const [index, name] of (given ?? []).entries()) {
    if (!names.includes(name)) report(`there is no output ${name}; there are ${names.join(', ')}`, index)
    else if (given?.indexOf(name) !== index) report(`${name} appears twice`, index)
  }
}

function checkPublications(model: ModelSpec, report: Report): void {
  const names = Object.keys(model.outputs)
  for (const [index, publication] of model.publish.entries()) {
    const at = (problem: string, ...part: Part): void => report(model, ['publish', index, ...part], problem)
    checkNames(publication.outputs, names, (problem, place) => at(problem, 'outputs', place))
    const { to = 'registry', registry, directory } = publication
    if (registry !== undefined && to !== 'registry') at('registry applies only where to is registry', 'registry')
    if (directory !== undefined && /^(?:registry$|hf:)|[/\\]/.test(to)) at(`${to} has no folder of models`, 'directory')
    for (const key of ['name', 'tag', 'to'] as const) {
      const [, other] = /\{(?!model\}|output\})([^}]*)\}/.exec(publication[key] ?? '') ?? []
      if (other !== undefined) at(`{${other}} is an unknown placeholder; there are {model} and {output}`, key)
    }
    const [output] = publication.outputs ?? names
    if (output === undefined) continue
    const place = publicationPlace(model.key, output, publication)
    tryTo(
      () => parseModelName(place.name),
      (problem) => at(problem, 'name'),
    )
    if (to !== 'registry')
      tryTo(
        () => parseTarget(place.to),
        (problem) => at(problem, 'to'),
      )
  }
}

function tryTo(work: () => unknown, report: (problem: string) => void): void {
  try {
    work()
  } catch (error) {
    const { details, message } = MqError.from(error)
    report(String(details['problem'] ?? message))
  }
}

/** Name with tag, and target, of a publication of an output. */
export function publicationPlace(
  model: string,
  output: string,
  { name, tag = '{output}', to = 'registry' }: ModelSpec['publish'][number],
): { readonly name: string; readonly to: string } {
  const fill = (text: string): string => text.replaceAll('{model}', model).replaceAll('{output}', output)
  return { name: `${fill(name)}:${fill(tag)}`, to: fill(to) }
}

/** Two outputs of one name at one place would overwrite each other. */
function checkTwice(models: readonly ModelSpec[], report: Report): void {
  const seen = new Set<string>()
  for (const model of models) {
    for (const [index, publication] of model.publish.entries()) {
      for (const output of publication.outputs ?? Object.keys(model.outputs)) {
        const { name, to } = publicationPlace(model.key, output, publication)
        const key = `${to} ${publication.registry ?? ''} ${name}`
        if (seen.has(key)) {
          report(
            model,
            ['publish', index, 'name'],
            `${name} is published to ${to} twice; {model} and {output} tell outputs apart`,
          )
          break
        }
        seen.add(key)
      }
    }
  }
}
