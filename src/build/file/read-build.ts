import { stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { isDocument, LineCounter, parseAllDocuments } from 'yaml'
import { builtInText } from '../../calibration/index.js'
import { MqError } from '../../errors/index.js'
import { readWhole } from '../../files/index.js'
import { readSize } from '../../terminal/index.js'
import { buildFields, packageText } from './build-fields.js'
import type { BuildSpec, FileValue, ModelSpec, ModelValue, OutputSpec } from './build-spec.js'
import { checkReferences } from './check-references.js'
import { type Problem, readFields, rootField } from './read-fields.js'

/** More than any file that a person writes. */
const mostBytes = 2 ** 20
/** So many problems are named in one message. */
const mostNamed = 10

/**
 * Reads a build file: its form by the table of fields, then what its parts say of each other, then whether the files that it names are
 * there. All problems are told at once, each with its line and column.
 * @throws MqError BUILD_INVALID; FILE_MISSING, TEXT_TOO_LARGE and the like for the file itself.
 */
export async function readBuild(given: string): Promise<BuildSpec> {
  const path = resolve(given)
  const text = await readWhole(path, mostBytes)
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, schema: 'core', prettyErrors: false, logLevel: 'error' })
  const [document, second] = Array.isArray(documents) ? documents : []
  if (document === undefined || !isDocument(document))
    throw invalid(given, [{ line: 1, column: 1, problem: 'the file is empty' }])
  const placeOf = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }
  const syntax = document.errors.map(({ message, pos: [offset] }) => ({ ...placeOf(offset), problem: syntaxProblem(message) }))
  if (syntax.length > 0) throw invalid(given, syntax)
  if (second !== undefined) {
    throw invalid(given, [{ ...placeOf(second.range?.[0] ?? 0), problem: 'the file has a second document; one is read' }])
  }
  const read = readFields(document, lines, rootField(buildFields))
  if (read.problems.length > 0) throw invalid(given, read.problems)
  const value = read.value as FileValue
  const folder = dirname(path)
  const models = Object.entries(value.models).map(([key, model]): ModelSpec => {
    const own = (part: readonly (string | number)[]): boolean => model[part[0] as keyof ModelValue] !== undefined
    return modelOf(key, model, value, folder, (part) =>
      read.placeOf(own(part) || part.length === 0 ? ['models', key, ...part] : part),
    )
  })
  const problems = [...(await checkReferences(models)), ...(await missingFiles(models))]
  if (problems.length > 0) throw invalid(given, problems)
  return {
    path,
    title: value.title ?? basename(path).replace(/\.ya?ml$/i, ''),
    threads: value.threads,
    memoryBytes: value.memory === undefined ? undefined : readSize(value.memory),
    models,
  }
}

/** The error of a build file. @param path as it was given. */
export function invalid(path: string, problems: readonly Problem[]): MqError {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column)
  const told = sorted.slice(0, mostNamed).map(({ line, column, problem }) => `${path}:${line}:${column}: ${problem}`)
  const more = sorted.length > mostNamed ? `; and ${sorted.length - mostNamed} more` : ''
  return MqError.of('BUILD_INVALID', { problems: `${[...new Set(told)].join('; ')}${more}` })
}

function syntaxProblem(message: string): string {
  const [first = ''] = message.split('\n')
  return `it is not YAML: ${first.replace(/\.$/, '').replace(/^Map keys must be unique$/, 'a key appears twice')}`
}

/** A model with the defaults of the top level, its paths from the folder of the file. */
function modelOf(key: string, model: ModelValue, top: FileValue, folder: string, placeOf: ModelSpec['placeOf']): ModelSpec {
  const at = (path: string): string => (isNamed(path) || isAbsolute(path) ? path : join(folder, path))
  const textAt = (path: string): string => (path === packageText ? builtInText : at(path))
  const maybeAt = (path: string | undefined): string | undefined => (path === undefined ? undefined : at(path))
  const { calibration = top.calibration, test = top.test, outputs = top.outputs, gates = top.gates, ...rest } = model
  const { publish = top.publish, card = top.card, reference, registry, lora = [], source, ...words } = rest
  return {
    ...words,
    key,
    source: at(source),
    lora: lora.map(at),
    reference: maybeAt(reference),
    registry: maybeAt(registry),
    calibration: calibration && { ...calibration, text: calibration.text?.map(textAt), file: maybeAt(calibration.file) },
    test: test && { ...test, text: at(test.text) },
    outputs: Object.fromEntries(Object.entries(outputs ?? {}).map(([name, output]) => [name, outputAt(output, maybeAt)])),
    gates: gates ?? [],
    publish: (publish ?? []).map((one) => ({ ...one, registry: maybeAt(one.registry) })),
    card: card ?? {},
    placeOf,
  }
}

function outputAt(output: OutputSpec, at: (path: string | undefined) => string | undefined): OutputSpec {
  const { plan, mixture } = output
  const isFile = mixture !== undefined && !/^[\w.-]+$/.test(mixture.replace(/\.json$/i, '/'))
  return { ...output, plan: at(plan), mixture: isFile ? at(mixture) : mixture }
}

/** Names of a hub or a registry. */
function isNamed(path: string): boolean {
  return /^(?:hf|registry):/i.test(path)
}

/** Files that are named and not there. */
async function missingFiles(models: readonly ModelSpec[]): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const { placeOf, source, lora, reference, calibration, test, outputs } of models) {
    const wanted: (readonly [readonly (string | number)[], string | undefined, 'file' | 'any'])[] = [
      [['source'], source, 'any'],
      [['reference'], reference, 'any'],
      ...lora.map((path, index) => [['lora', index], path.replace(/:-?[\d.]+(?:e[+-]?\d+)?$/i, ''), 'any'] as const),
      ...(calibration?.text ?? []).map((path, index) => [['calibration', 'text', index], path, 'file'] as const),
      [['calibration', 'file'], calibration?.file, 'file'],
      [['test', 'text'], test?.text, 'file'],
      ...Object.entries(outputs).flatMap(([name, { plan, mixture }]) => [
        [['outputs', name, 'plan'], plan, 'file'] as const,
        [['outputs', name, 'mixture'], mixture !== undefined && isAbsolute(mixture) ? mixture : undefined, 'file'] as const,
      ]),
    ]
    for (const [part, path, kind] of wanted) {
      if (path === undefined || isNamed(path)) continue
      const found = await stat(path).catch(() => undefined)
      if (found === undefined) problems.push({ ...placeOf(part), problem: `${path} does not exist` })
      else if (kind === 'file' && !found.isFile()) problems.push({ ...placeOf(part), problem: `${path} is not a file` })
    }
  }
  return problems
}
