import { createHash } from 'node:crypto'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import * as v from 'valibot'
import { writeWhole } from '../../files/index.js'
import type { WithProgress } from '../../progress/index.js'
import { defaultRegistryDirectory, digestOfFiles, findLocalModel, publish, publishToTarget } from '../../registry/index.js'
import type { ModelSpec } from '../file/build-spec.js'
import { publicationPlace } from '../file/check-references.js'
import { unitVersion } from '../graph/digest.js'
import type { GivenModel } from '../graph/make-graph.js'
import { checkResult, type StepRecord } from '../work/work-folder.js'

/** An output that has passed its gates. */
export interface PublishedOutput {
  readonly name: string
  readonly record: StepRecord
  /** Its plan, and where it was measured its report: files. */
  readonly plan: string
  readonly report?: string
}

/** A publication that was made, now or by an earlier run. */
export interface Publication {
  readonly model: string
  readonly output: string
  /** NAMESPACE/NAME:TAG. */
  readonly name: string
  readonly to: string
  /** The folder, the address, or the registry's folder. */
  readonly place: string
  readonly isNew: boolean
}

/** One publication of one output, with where it goes. */
interface Wanted {
  readonly output: PublishedOutput
  readonly publication: ModelSpec['publish'][number]
  readonly name: string
  readonly to: string
  readonly registry: string
}

const recordSchema = v.object({ version: v.literal(1), place: v.string(), files: v.array(v.string()) })

/**
 * Publishes the outputs of a model. What an earlier run has published, and is still there as far as that can be seen from here, is not
 * published again.
 * @param folder of the build file, that folders are relative to.
 * @param records where it is noted what was published.
 * @throws MqError as publish and publishToTarget do; FILE_UNREADABLE where an output was damaged in the work folder.
 */
export async function* publishOutputs(
  model: ModelSpec,
  source: GivenModel,
  outputs: readonly PublishedOutput[],
  { folder, records, signal }: { readonly folder: string; readonly records: string; readonly signal?: AbortSignal },
): WithProgress<readonly Publication[]> {
  const made: Publication[] = []
  const checked = new Set<PublishedOutput>()
  const common = { madeFrom: source.path, madeFromDigest: digestOfFiles(source.files), signal }
  for (const wanted of wantedOf(model, outputs, folder)) {
    const { output, publication, name, to, registry } = wanted
    const record = join(records, `${await keyOf(wanted, model, common.madeFromDigest)}.json`)
    const known = await readRecord(record)
    const shown = { model: model.key, output: output.name, name, to }
    if (known !== undefined && (await isThere(wanted, known.files))) {
      made.push({ ...shown, place: known.place, isNew: false })
      continue
    }
    if (!checked.has(output)) await checkResult(output.record, signal)
    checked.add(output)
    const { files } = output.record
    const shared = {
      ...common,
      source: join(output.record.folder, files[0]?.name ?? ''),
      name,
      plan: output.plan,
      report: output.report,
      check: publication.check ?? true,
      force: publication.replace ?? false,
    }
    const { license, 'base-model': baseModel } = model.card
    const result =
      to === 'registry'
        ? yield* toRegistry({ ...shared, registry })
        : yield* toTarget({ ...shared, to, directory: publication.directory, license, baseModel })
    await mkdir(dirname(record), { recursive: true })
    await writeWhole(record, `${JSON.stringify({ version: 1, ...result }, undefined, 2)}\n`)
    made.push({ ...shown, place: result.place, isNew: true })
  }
  return made
}

/** What would be published, in the order of the file. */
export function wantedOf(model: ModelSpec, outputs: readonly PublishedOutput[], folder: string): Wanted[] {
  return model.publish.flatMap((publication) =>
    outputs
      .filter(({ name }) => publication.outputs === undefined || publication.outputs.includes(name))
      .map((output) => {
        const { name, to } = publicationPlace(model.key, output.name, publication)
        const isFolder = /[/\\.]/.test(to) && !to.startsWith('hf:')
        const target = isFolder && !isAbsolute(to) ? join(folder, to) : to
        return { output, publication, name, to: target, registry: publication.registry ?? defaultRegistryDirectory() }
      }),
  )
}

interface Place {
  readonly place: string
  /** On this machine. */
  readonly files: readonly string[]
}

async function* toRegistry(options: Parameters<typeof publish>[0]): WithProgress<Place> {
  const { registry } = yield* publish(options)
  return { place: registry, files: [] }
}

async function* toTarget(options: Parameters<typeof publishToTarget>[0]): WithProgress<Place> {
  const { place, files } = yield* publishToTarget(options)
  return { place, files: files.filter(isAbsolute) }
}

/** All that a publication depends on. */
async function keyOf({ output, publication, name, to, registry }: Wanted, { card }: ModelSpec, source: string): Promise<string> {
  const { record, plan, report } = output
  const texts = await Promise.all([plan, ...(report === undefined ? [] : [report])].map((path) => readFile(path)))
  const hash = createHash('sha256')
  const { directory = null, check = true } = publication
  const files = record.files.map(({ sha256 }) => sha256)
  hash.update(
    JSON.stringify([1, unitVersion(), name, to, to === 'registry' ? registry : null, directory, check, card, source, files]),
  )
  for (const text of texts) hash.update(text)
  return hash.digest('hex')
}

async function readRecord(path: string): Promise<v.InferOutput<typeof recordSchema> | undefined> {
  try {
    return v.parse(recordSchema, JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return undefined
  }
}

/** Whether what was published can still be found; of hubs and servers nothing is asked. */
async function isThere({ output, name, to, registry }: Wanted, files: readonly string[]): Promise<boolean> {
  if (to === 'registry') {
    const path = await findLocalModel(name, registry).catch(() => undefined)
    const [first, ...others] = output.record.files
    return path !== undefined && (others.length > 0 || path.includes(first?.sha256 ?? ' '))
  }
  for (const file of files) if ((await stat(file).catch(() => undefined)) === undefined) return false
  return true
}
