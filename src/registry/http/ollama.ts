import { setTimeout as sleep } from 'node:timers/promises'
import { selectGguf } from '../../hub/index.js'
import { type MergedModel, mergeShards } from '../merged-model.js'
import { makeOllamaManifest, ollamaConfigType } from '../ollama-manifest.js'
import {
  annotations,
  type Descriptor,
  type ModelConfig,
  type ModelName,
  mediaTypes,
  parseModelConfig,
  readBytes,
  repositoryOf,
} from '../store/index.js'
import { type HttpContext, ociError } from './answers.js'
import type { Services } from './services.js'

const mmproj = 'application/vnd.docker.ai.mmproj'

/** How long a client waits for the digest of a merged model before it is told to come again. */
const mergeWithinMs = 90_000

/** A blob that exists nowhere: small ones in memory, a merged model as the parts of its shards. */
export type Derived = { readonly bytes: Buffer } | { readonly merged: MergedModel }

/** A blob that was made for one repository is read through it alone. */
export function derivedKey(model: ModelName, digest: string): string {
  return `${repositoryOf(model).toLowerCase()} ${digest}`
}

/**
 * The manifest of a model as ollama takes it: the same blobs under its own media types, and a configuration made for it. A split model
 * becomes one blob, which is put together when it is read.
 * @returns undefined where the manifest is to be sent as it is: it is ollama's own.
 */
export async function ollamaManifest(
  context: HttpContext,
  services: Services,
  bytes: Uint8Array,
  { digest }: Descriptor,
  model: ModelName,
): Promise<Response | undefined> {
  const { derived } = services
  const { name } = model
  const { layers = [], config } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
    layers?: Descriptor[]
    config?: Descriptor
  }
  if (config?.mediaType === ollamaConfigType) return undefined
  const shards = shardsOf(layers)
  if (shards.length === 0) return ociError(context, 400, 'UNSUPPORTED', `${name} holds no GGUF: ollama cannot run it`)
  const weights =
    shards.length === 1 ? (shards[0] as Descriptor) : await merge(context, services, { shards, manifest: digest, model })
  if (weights === undefined) {
    const message = `the ${shards.length} files of ${name} are being put together, try again in a minute`
    return context.json({ errors: [{ code: 'UNAVAILABLE', message }] }, 503, { 'Retry-After': '60' })
  }
  const known = config === undefined ? {} : await configOf(services, config)
  const others = layers.flatMap((layer) => {
    const type = typeOf(layer)
    return type === undefined ? [] : [{ mediaType: type, digest: layer.digest, size: layer.size }]
  })
  const { manifest, config: made } = makeOllamaManifest(weights, known, others)
  derived.set(derivedKey(model, made.digest), { bytes: made.bytes })
  const isHead = context.req.method === 'HEAD'
  return new Response(isHead ? null : new Uint8Array(manifest), {
    headers: {
      'Content-Type': mediaTypes.dockerManifest,
      'Content-Length': String(manifest.byteLength),
      'Docker-Source-Digest': digest,
    },
  })
}

/** The files of the model, in order: all GGUF layers where no title tells them apart, else those that llama.cpp would take. */
function shardsOf(layers: readonly Descriptor[]): Descriptor[] {
  const models = layers.filter(({ mediaType }) => mediaType === mediaTypes.gguf)
  if (models.every((layer) => titleOf(layer) === undefined)) return models
  const titles = models.flatMap((layer) => titleOf(layer) ?? [])
  return selectGguf(titles).flatMap((title) => models.find((layer) => titleOf(layer) === title) ?? [])
}

/** Layer types beside the model as ollama knows them. Source: ollama, server/images.go. */
function typeOf(layer: Descriptor): string | undefined {
  if (layer.mediaType === mediaTypes.license) return 'application/vnd.ollama.image.license'
  const isProjector = layer.mediaType === mmproj || (layer.mediaType === mediaTypes.gguf && /mmproj/i.test(titleOf(layer) ?? ''))
  return isProjector ? 'application/vnd.ollama.image.projector' : undefined
}

function titleOf({ annotations: notes }: Descriptor): string | undefined {
  return notes?.[annotations.title]
}

async function configOf({ store }: Services, config: Descriptor): Promise<Partial<ModelConfig>> {
  try {
    return parseModelConfig(store, await readBytes(store, config), config.digest)
  } catch {
    return {}
  }
}

/** undefined where it takes longer than a client waits; it goes on meanwhile. */
async function merge(
  context: HttpContext,
  { store, derived, merging }: Services,
  split: { readonly shards: readonly Descriptor[]; readonly manifest: string; readonly model: ModelName },
): Promise<Pick<Descriptor, 'digest' | 'size'> | undefined> {
  const { shards, manifest, model } = split
  const running = merging.get(manifest) ?? mergeShards(store, shards, manifest)
  merging.set(manifest, running)
  running.catch(() => merging.delete(manifest))
  const { socket } = context.env.incoming
  const timeout = socket.timeout ?? 0
  socket.setTimeout(0)
  const waiting = new AbortController()
  try {
    const merged = await Promise.race([running, sleep(mergeWithinMs, undefined, { signal: waiting.signal })])
    if (merged === undefined) return undefined
    derived.set(derivedKey(model, merged.digest), { merged })
    return { digest: merged.digest, size: merged.sizeBytes }
  } finally {
    waiting.abort()
    socket.setTimeout(timeout)
  }
}
