import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { builtInText } from '../../calibration/index.js'
import { MqError } from '../../errors/index.js'
import { filesOfAdapter, remoteModel } from '../../model/index.js'
import type { Progress, WithProgress } from '../../progress/index.js'
import { defaultRegistryDirectory, findLocalSource, inspectSource } from '../../registry/index.js'
import type { BuildSpec, ModelSpec } from '../file/build-spec.js'
import { digestOfList } from '../graph/digest.js'
import type { GivenInputs, GivenModel } from '../graph/make-graph.js'
import type { Given } from '../graph/step.js'
import type { Digests } from './digests.js'

/** How sources are found. */
export interface FindOptions {
  readonly digests: Digests
  /** Takes hf: names as they are, without pulling them: their digests stay unknown. For a dry run. */
  readonly withoutPulling?: true
  /** Gives a file of the package a path that all machines see; by default it is read where it is. */
  readonly share?: ((path: string) => Promise<string>) | undefined
  /** Brings a model of a hub to a path that all machines see; by default it is pulled into the cache of this one. @param name without `hf:`. */
  readonly pull?: ((name: string) => WithProgress<string>) | undefined
  readonly signal?: AbortSignal
}

/**
 * Finds all that a build takes from outside: models of hubs are pulled, files are hashed.
 * @throws MqError of pulling and hashing; MODEL_NOT_FOUND.
 */
export async function* findGivens({ models }: BuildSpec, options: FindOptions): WithProgress<ReadonlyMap<string, GivenInputs>> {
  const found = new Map<string, GivenInputs>()
  for (const model of models) {
    const { key, source, reference, lora, calibration, test, outputs } = model
    const texts = [...(calibration?.text ?? []), ...(calibration?.file === undefined ? [] : [calibration.file])]
    const adapters: GivenInputs['lora'][number][] = []
    for (const adapter of lora) adapters.push(yield* findAdapter(adapter, options))
    const files = async (pick: (output: ModelSpec['outputs'][string]) => string | undefined): Promise<Map<string, Given>> => {
      const given = new Map<string, Given>()
      for (const [name, output] of Object.entries(outputs)) {
        const path = pick(output)
        if (path !== undefined) given.set(name, await findFile(path, options))
      }
      return given
    }
    const calibrated: Given[] = []
    for (const text of texts) {
      const isShared = text === builtInText && options.share !== undefined
      calibrated.push(await findFile(isShared ? await options.share(text) : text, options))
    }
    found.set(key, {
      source: yield* findModel(source, model, options),
      reference: reference === undefined ? undefined : yield* findModel(reference, model, options),
      lora: adapters,
      calibration: calibrated,
      test: test && (await findFile(test.text, options)),
      plans: await files(({ plan }) => plan),
      mixtures: await files(({ mixture }) => (mixture !== undefined && isAbsolute(mixture) ? mixture : undefined)),
    })
  }
  await options.digests.keep()
  return found
}

/** A checkpoint or GGUF on this machine, with the digests of its files. */
async function* findModel(name: string, { registry }: ModelSpec, options: FindOptions): WithProgress<GivenModel> {
  if (options.withoutPulling === true && /^hf:/i.test(name)) {
    const { kind } = await remoteModel(name, { signal: options.signal })
    return { kind, path: name, files: [], digest: `unknown ${name}`, modelName: modelNameOf(name, name) }
  }
  const path = yield* localPath(name, registry, options)
  const { files: listed, format } = await inspectSource(path)
  const isFolder = format === 'safetensors'
  const files: Given['files'][number][] = []
  for (const [done, { source, pathFor }] of listed.entries()) {
    yield identifying(done, listed.length, source)
    // Shards of a GGUF have their own names.
    files.push({
      name: isFolder ? pathFor('', '') : basename(source),
      path: source,
      ...(await options.digests.of(source, options.signal)),
    })
  }
  const first = files[0]?.path ?? path
  const shared = { files, digest: digestOfList(files), modelName: modelNameOf(name, path) }
  return isFolder ? { kind: 'checkpoint', path, ...shared } : { kind: 'gguf', path: first, ...shared }
}

async function* localPath(name: string, registry: string | undefined, { pull, signal }: FindOptions): WithProgress<string> {
  const [, kind = '', rest = ''] = /^(hf|registry):(.+)$/i.exec(name) ?? []
  if (kind === '') return name
  if (kind.toLowerCase() === 'registry') {
    const folder = registry ?? defaultRegistryDirectory()
    const found = await findLocalSource(rest, folder)
    if (found === undefined) throw MqError.of('MODEL_NOT_FOUND', { name: rest, registry: folder })
    return found
  }
  if (pull !== undefined) return yield* pull(rest)
  const { pullModel } = await import('../../hub/index.js')
  const { path } = yield* pullModel(rest, { signal })
  return path
}

/** What metadata take a model's name from: `NS/NAME` of a hub, else that of the folder. */
function modelNameOf(name: string, path: string): string {
  const [, repository] = /^(?:hf|registry):([^:@]+)/i.exec(name) ?? []
  return repository ?? basename(resolve(path))
}

async function* findAdapter(text: string, options: FindOptions): WithProgress<GivenInputs['lora'][number]> {
  const [, named, scaleText] = /^(hf:[^:]+)(?::(-?[\d.]+))?$/i.exec(text) ?? []
  if (options.withoutPulling === true && named !== undefined) {
    return { path: named, files: [], digest: `unknown ${named}`, scale: Number(scaleText ?? 1) }
  }
  const local = named === undefined ? text : yield* localPath(named, undefined, options)
  const { paths, scale } = await filesOfAdapter(
    named === undefined ? local : `${local}${scaleText === undefined ? '' : `:${scaleText}`}`,
  )
  const folder = dirname(paths[0] ?? local)
  const names = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name)
  const files: Given['files'][number][] = []
  for (const name of names.toSorted()) {
    const path = join(folder, name)
    if ((await stat(path)).isFile()) files.push({ name, path, ...(await options.digests.of(path, options.signal)) })
  }
  return { path: folder, files, digest: digestOfList(files), scale }
}

async function findFile(path: string, { digests, signal }: FindOptions): Promise<Given> {
  const hashed = await digests.of(path, signal)
  return { path, digest: hashed.sha256, files: [{ name: basename(path), path, ...hashed }] }
}

function identifying(done: number, total: number, item: string): Progress {
  return { stage: 'identify', done, total, unit: 'files', item }
}
