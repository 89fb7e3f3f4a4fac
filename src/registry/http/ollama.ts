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

/** Time limit for the digest of a merged model; after it the client is told to retry. */
const mergeWithinMs = 90_000

/** A blob that is not stored: a small one in memory, or a merged model as parts of its shards. */
export type Derived = { readonly bytes: Buffer } | { readonly merged: MergedModel }

/** Returns the key of a derived blob: it can be read through its own repository only. */
export function derivedKey(model: ModelName, digest: string): string {
  return `${repositoryOf(model).toLowerCase()} ${digest}`
}

/**
 * Makes the manifest of a model for ollama: the same blobs under ollama's media types, and a configuration of its own. A split model
 * becomes one blob, which is merged when it is read.
 * @returns undefined where the manifest is ollama's own and is sent unchanged.
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

/** Returns the files of the model, in order: all GGUF layers if they have no titles, else those that llama.cpp would choose. */
function shardsOf(layers: readonly Descriptor[]): Descriptor[] {
  const models = layers.filter(({ mediaType }) => mediaType === mediaTypes.gguf)
  if (models.every((layer) => titleOf(layer) === undefined)) return models
  const titles = models.flatMap((layer) => titleOf(layer) ?? [])
  return selectGguf(titles).flatMap((title) => models.find((layer) => titleOf(layer) === title) ?? [])
}

/** Returns ollama's media type of a layer other than the model. Source: ollama, server/images.go. */
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

/** Merges the shards. @returns undefined where it takes longer than the time limit; the work continues. */
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
