import { createWriteStream } from 'node:fs'
import { constants, copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileSource } from '../../../formats/byte-source.js'
import { writeWholeFile } from '../../../formats/whole-file.js'
import { MqError } from '../../errors/index.js'
import { checkSpace } from '../../files/index.js'
import type { WithProgress } from '../../progress/index.js'
import { digestOf, layoutMerged, lengthOf, type MergedPart, readParts } from '../merged-model.js'
import { makeOllamaManifest } from '../ollama-manifest.js'
import { repositoryOf } from '../store/index.js'
import type { Bundle } from './bundle.js'
import type { CopiedFiles } from './copy-files.js'

const answersWithinMs = 2000

/** Address and folder of ollama. */
export interface OllamaPlace {
  /** Address of its server, `http://127.0.0.1:11434` unless $OLLAMA_HOST says otherwise. */
  readonly url: string
  /** Its folder of models, $OLLAMA_MODELS or ~/.ollama/models. */
  readonly folder: string
}

/** Locates ollama by its environment variables. Source: ollama, envconfig/config.go. */
export function ollamaPlace({ OLLAMA_HOST: host = '', OLLAMA_MODELS: folder }: NodeJS.ProcessEnv = process.env): OllamaPlace {
  const address = host.replace(/^0\.0\.0\.0/, '127.0.0.1') || '127.0.0.1:11434'
  const url = new URL(/^https?:\/\//.test(address) ? address : `http://${address}`)
  if (url.port === '' && !/^https?:\/\//.test(address)) url.port = '11434'
  return { url: url.origin, folder: folder || join(homedir(), '.ollama', 'models') }
}

/** The model for ollama: one file, merged where the model is split. */
interface OllamaModel {
  readonly digest: string
  readonly sizeBytes: number
  pieces(): AsyncGenerator<Uint8Array, void, void>
}

/**
 * Publishes a model to ollama: through its server if it responds, else to its folder of models.
 * @throws MqError TARGET_MISSING where there is neither; TARGET_REFUSED where the server refuses it; DISK_FULL, FILE_UNWRITABLE.
 */
export async function* publishToOllama(
  bundle: Bundle,
  { url, folder }: OllamaPlace,
  { directory, signal }: { readonly directory?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): WithProgress<CopiedFiles> {
  const model = await modelOf(bundle)
  yield { stage: 'publish', done: 0, total: model.sizeBytes, unit: 'bytes' }
  const name = `${repositoryOf(bundle.model)}:${bundle.model.tag}`
  if (directory === undefined && (await isRunning(url))) {
    await send(url, name, model, bundle, signal)
    return { folder: url, files: [name] }
  }
  const models = directory ?? folder
  if (directory === undefined && (await stat(models).catch(() => undefined))?.isDirectory() !== true) {
    throw MqError.of('TARGET_MISSING', { target: 'ollama', problem: `${url} does not answer, and ${models} is no folder` })
  }
  return { folder: models, files: await writeModel(models, model, bundle) }
}

async function modelOf({ files, model: { name } }: Bundle): Promise<OllamaModel> {
  const [first] = files
  if (first?.name.endsWith('.gguf') !== true)
    throw MqError.of('TARGET_REFUSED', { target: 'ollama', problem: `${name} is no GGUF` })
  const paths = new Map(files.map(({ sha256, path }) => [sha256, path]))
  const pathOf = (digest: string): string => paths.get(digest) as string
  if (files.length === 1) {
    const parts: MergedPart[] = [{ digest: first.sha256, start: 0, end: first.sizeBytes }]
    return { digest: `sha256:${first.sha256}`, sizeBytes: first.sizeBytes, pieces: () => readParts(parts, pathOf) }
  }
  const parts = await layoutMerged(
    files.map(({ sha256 }) => ({ digest: sha256 })),
    pathOf,
  )
  const sizeBytes = parts.reduce((sum, part) => sum + lengthOf(part), 0)
  return { digest: await digestOf(parts, pathOf), sizeBytes, pieces: () => readParts(parts, pathOf) }
}

async function isRunning(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/api/version`, { signal: AbortSignal.timeout(answersWithinMs) })).ok
  } catch {
    return false
  }
}

/** Sends the requests of `ollama create`. Source: ollama, docs/api.md, "Create a model from a GGUF file". */
async function send(
  url: string,
  name: string,
  model: OllamaModel,
  bundle: Bundle,
  signal: AbortSignal | undefined,
): Promise<void> {
  const refused = (problem: string): MqError => MqError.of('TARGET_REFUSED', { target: `ollama at ${url}`, problem })
  const given = signal ?? null
  const blob = `${url}/api/blobs/${model.digest}`
  if (!(await fetch(blob, { method: 'HEAD', signal: given })).ok) {
    // The reader overwrites its chunks, and fetch holds them for a while, so they are copied.
    const copies = Readable.from(copied(model.pieces()), { objectMode: false })
    const init = { method: 'POST', body: Readable.toWeb(copies) as ReadableStream, duplex: 'half' as const, signal: given }
    const answer = await fetch(blob, init)
    if (!answer.ok) throw refused(`HTTP ${answer.status} to the file`)
  }
  const files = { [bundle.files.length === 1 ? (bundle.files[0]?.name ?? '') : `${bundle.model.name}.gguf`]: model.digest }
  const body = JSON.stringify({ model: name, files, stream: false })
  const answer = await fetch(`${url}/api/create`, { method: 'POST', body, signal: given })
  const text = (await answer.text()).slice(0, 10_000)
  const problem = /"error"\s*:\s*"([^"]{1,300})/.exec(text)?.[1]
  if (!answer.ok || problem !== undefined) throw refused(problem ?? `HTTP ${answer.status}`)
}

async function* copied(pieces: AsyncGenerator<Uint8Array, void, void>): AsyncGenerator<Buffer, void, void> {
  for await (const piece of pieces) yield Buffer.from(piece)
}

/** Writes blobs and manifest in the layout of ollama, whose folder is content-addressed as well. Source: ollama, server/modelpath.go, manifest.go. */
async function writeModel(folder: string, model: OllamaModel, bundle: Bundle): Promise<string[]> {
  const blobs = join(folder, 'blobs')
  await mkdir(blobs, { recursive: true }).catch((error: unknown) => {
    throw MqError.from(error, folder)
  })
  const blobOf = (digest: string): string => join(blobs, digest.replace(':', '-'))
  const path = blobOf(model.digest)
  if ((await stat(path).catch(() => undefined))?.size !== model.sizeBytes) {
    await checkSpace(blobs, model.sizeBytes, path)
    await writeBlob(path, model, bundle)
  }
  const weights = { digest: model.digest, size: model.sizeBytes }
  const { manifest, config } = makeOllamaManifest(weights, bundle)
  await writeNamed(blobOf(config.digest), config.bytes)
  const { namespace, name, tag } = bundle.model
  const manifests = join(folder, 'manifests', 'registry.ollama.ai', namespace, name)
  await mkdir(manifests, { recursive: true })
  await writeNamed(join(manifests, tag), manifest)
  return [path, blobOf(config.digest), join(manifests, tag)]
}

async function writeBlob(path: string, model: OllamaModel, { files }: Bundle): Promise<void> {
  const temporary = `${path}-partial-mq`
  try {
    if (files.length === 1) await copyFile(files[0]?.path ?? '', temporary, constants.COPYFILE_FICLONE)
    else await pipeline(copied(model.pieces()), createWriteStream(temporary))
    const source = await fileSource(temporary)
    const { byteLength } = source
    await source.close()
    if (byteLength !== model.sizeBytes) throw new RangeError('it changed while it was copied')
    await rename(temporary, path)
  } catch (error) {
    throw MqError.from(error, path)
  } finally {
    await rm(temporary, { force: true })
  }
}

function writeNamed(path: string, bytes: Uint8Array): Promise<void> {
  return writeWholeFile(path, (append) => append(bytes), `${path}-partial-mq`)
}
