import { createHash } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { measure as measureTypes } from '../../engine/index.js'
import type { BlueprintTensor } from '../../model/index.js'
import type { PlanningOptions } from '../../plan/index.js'
import type { WithProgress } from '../../progress/index.js'

type Measure = NonNullable<PlanningOptions['measure']>
type Errors = Map<string, number>

/** So many tensors are measured before what was found is written. */
const batch = 16

/**
 * A `Measure` that keeps quantization errors in a file, which plans of the same model and calibration share; what a run that was cut off has
 * measured is there for the next. Each line holds the errors of one tensor in some types.
 * @param file for this model, calibration and version of mq alone: `KEY.jsonl`, or `KEY.PROCESS.jsonl` where several processes measure at a time;
 *   all that begin with KEY are read.
 * @param parts files of `measureInto`, which are read, too.
 */
export function keptMeasure(file: string, measure: Measure = measureTypes, parts: readonly string[] = []): Measure {
  return async function* (options) {
    const known = await readErrors([...(await filesOf(file)), ...parts])
    const keys = new Map(options.blueprint.tensors.map((tensor) => [tensor.name, keyOf(tensor)]))
    const keyOfName = (name: string): string => keys.get(name) ?? ''
    const missing = options.requests
      .map(({ tensor, types }) => ({ tensor, types: types.filter((type) => known.get(keyOfName(tensor))?.has(type) !== true) }))
      .filter(({ types }) => types.length > 0)
    for (let start = 0; start < missing.length; start += batch) {
      const requests = missing.slice(start, start + batch)
      for (const [name, errors] of yield* measure({ ...options, requests })) {
        const key = keyOfName(name)
        const all = known.get(key) ?? new Map<GgmlTypeName, Errors>()
        for (const [type, error] of errors) all.set(type, new Map(Object.entries(error)))
        known.set(key, all)
      }
      await write(file, requests.map(({ tensor, types }) => lineOf(keyOfName(tensor), types, known)).join(''))
    }
    return answerOf(options, known)
  }
}

/** Measures, and writes what was found into a file: a part of what keptMeasure reads. @throws what measuring throws. */
export async function* measureInto(file: string, options: Parameters<Measure>[0]): WithProgress<void> {
  const found = yield* measureTypes(options)
  const known: Known = new Map()
  const lines = [...found].map(([name, errors]) => {
    const key = keyOf(options.blueprint.tensors.find((tensor) => tensor.name === name) as BlueprintTensor)
    known.set(key, new Map([...errors].map(([type, error]) => [type, new Map(Object.entries(error))])))
    return lineOf(key, [...errors.keys()], known)
  })
  await writeFile(file, lines.join(''))
}

/** What files of `measureInto` say of the tensors that they are asked for. @throws RangeError where they lack one. */
export async function readMeasured(parts: readonly string[], options: Parameters<Measure>[0]): Promise<TypeErrors> {
  return answerOf(options, await readErrors(parts))
}

type TypeErrors = Awaited<ReturnType<Measure>> extends AsyncGenerator<unknown, infer Found> ? Found : never

function answerOf({ blueprint, requests }: Parameters<Measure>[0], known: Known): TypeErrors {
  const keys = new Map(blueprint.tensors.map((tensor) => [tensor.name, keyOf(tensor)]))
  const found = requests.map(({ tensor, types }) => {
    const all = known.get(keys.get(tensor) ?? '')
    const errors = types.map((type) => {
      const own = all?.get(type)
      if (own === undefined) throw new RangeError(`${tensor} was not measured in ${type}`)
      return [type, Object.fromEntries(own) as unknown as MeasuredError] as const
    })
    return [tensor, new Map(errors)] as const
  })
  return new Map(found)
}

type MeasuredError = { readonly relativeError: number }

/** What a tensor's errors depend on, beside model and calibration: its form, which widening and smoothing change. */
function keyOf({ name, recipe }: BlueprintTensor): string {
  return createHash('sha256')
    .update(`${name} ${JSON.stringify(recipe)}`)
    .digest('hex')
    .slice(0, 32)
}

type Known = Map<string, Map<GgmlTypeName, Errors>>

function lineOf(key: string, types: readonly GgmlTypeName[], known: Known): string {
  const errors = types.map((type) => [type, [...(known.get(key)?.get(type) ?? [])].map(([name, value]) => [name, textOf(value)])])
  return `${JSON.stringify([key, errors])}\n`
}

/** JSON has no infinity. */
function textOf(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  // A line that was cut off must not spoil the next.
  await appendFile(file, `\n${text}`)
}

async function filesOf(file: string): Promise<string[]> {
  const [folder, key] = [dirname(file), basename(file).split('.')[0] ?? '']
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(`${key}.`))
  return names.toSorted().map((name) => join(folder, name))
}

async function readErrors(files: readonly string[]): Promise<Known> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
  const text = texts.join('\n')
  const known: Known = new Map()
  for (const line of text.split('\n')) {
    if (line === '') continue
    try {
      const [key, types] = JSON.parse(line) as [string, [GgmlTypeName, [string, number | string][]][]]
      const all = known.get(key) ?? new Map<GgmlTypeName, Errors>()
      for (const [type, errors] of types) all.set(type, new Map(errors.map(([name, value]) => [name, Number(value)])))
      known.set(key, all)
    } catch {
      // The end of what a run that was killed has written.
    }
  }
  return known
}
