import { createHash } from 'node:crypto'
import { type Descriptor, encodeJson, type ModelName, mediaTypes } from '../store/index.js'
import { type HttpContext, ociError } from './answers.js'
import type { Services } from './services.js'

const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
const imageConfig = 'application/vnd.docker.container.image.v1+json'

/** Layer types of ours as ollama knows them. Source: ollama, server/images.go. */
const layerTypes: Readonly<Record<string, string>> = {
  [mediaTypes.gguf]: 'application/vnd.ollama.image.model',
  [mediaTypes.license]: 'application/vnd.ollama.image.license',
}

/**
 * The manifest of a model as ollama takes it: the same blobs under its own media types, and a configuration made for it.
 * @returns undefined where the manifest is to be sent as it is: it is ollama's own.
 */
export async function ollamaManifest(
  context: HttpContext,
  { derived }: Services,
  bytes: Uint8Array,
  { digest }: Descriptor,
  { name }: ModelName,
): Promise<Response | undefined> {
  const { layers = [], config } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
    layers?: Descriptor[]
    config?: Descriptor
  }
  if (config?.mediaType === imageConfig) return undefined
  const models = layers.filter(({ mediaType }) => mediaType === mediaTypes.gguf)
  if (models.length === 0) return ociError(context, 400, 'UNSUPPORTED', `${name} holds no GGUF: ollama cannot run it`)
  if (models.length > 1) {
    return ociError(
      context,
      400,
      'UNSUPPORTED',
      `${name} is split into ${models.length} files, and ollama takes one: publish it unsplit`,
    )
  }
  const made = encodeJson({
    model_format: 'gguf',
    model_family: '',
    model_families: null,
    model_type: '',
    file_type: '',
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: models.map((layer) => layer.digest) },
  })
  const madeDigest = `sha256:${createHash('sha256').update(made).digest('hex')}`
  derived.set(madeDigest, made)
  const own = layers.flatMap(({ mediaType, digest: layer, size }) => {
    const type = layerTypes[mediaType]
    return type === undefined ? [] : [{ mediaType: type, digest: layer, size }]
  })
  const manifest = encodeJson({
    schemaVersion: 2,
    mediaType: dockerManifest,
    config: { mediaType: imageConfig, digest: madeDigest, size: made.byteLength },
    layers: own,
  })
  const isHead = context.req.method === 'HEAD'
  return new Response(isHead ? null : new Uint8Array(manifest), {
    headers: { 'Content-Type': dockerManifest, 'Content-Length': String(manifest.byteLength), 'Docker-Source-Digest': digest },
  })
}
