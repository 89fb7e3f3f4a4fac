import type { Source } from './source.js'
import {
  addBytes,
  annotations,
  type BlobIdentity,
  type Descriptor,
  encodeJson,
  type Manifest,
  mediaTypes,
  type Pin,
  type Store,
} from './store/index.js'

/** Makes the layer of a model file. @param title its path in the repository. */
export function fileLayer(source: Pick<Source, 'format'>, title: string, { digest, size }: BlobIdentity): Descriptor {
  const notes = { [annotations.title]: title, ...(source.format === 'safetensors' && { [annotations.filePath]: title }) }
  return { mediaType: layerType(source, title), digest, size, annotations: notes }
}

/** Makes the layer of a report of `mq verify`. */
export function reportLayer(title: string, { digest, size }: BlobIdentity): Descriptor {
  return { mediaType: mediaTypes.verifyReport, digest, size, annotations: { [annotations.title]: title } }
}

/** Makes the layer of a plan. */
export function planLayer(title: string, { digest, size }: BlobIdentity): Descriptor {
  return { mediaType: mediaTypes.plan, digest, size, annotations: { [annotations.title]: title } }
}

/**
 * Stores the configuration and the manifest of a model. Neither holds the time of publication, so that the same model has the same digest.
 * Source: the model specification of docker/model-runner, whose pull reads `config.format` and counts `rootfs.diff_ids`.
 */
export async function addManifest(
  store: Store,
  source: Source,
  layers: Descriptor[],
  pin: Pin,
  notes: Readonly<Record<string, string>> = {},
): Promise<{ descriptor: Descriptor; manifest: Manifest }> {
  const configType = source.format === 'gguf' ? mediaTypes.ggufConfig : mediaTypes.filesConfig
  const { format, quantization, architecture, sizeBytes } = source
  const config = {
    config: {
      format,
      quantization,
      architecture,
      size: String(sizeBytes),
    },
    descriptor: {},
    rootfs: { type: 'rootfs', diff_ids: layers.map(({ digest }) => digest) },
  }
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: configType,
    config: { mediaType: configType, ...(await addBytes(store, encodeJson(config), pin)) },
    layers,
    ...(Object.keys(notes).length > 0 && { annotations: notes }),
  }
  const identity = await addBytes(store, encodeJson(manifest), pin)
  return { descriptor: { mediaType: mediaTypes.manifest, ...identity, artifactType: configType }, manifest }
}

function layerType({ format }: Pick<Source, 'format'>, title: string): string {
  if (format === 'gguf') return mediaTypes.gguf
  if (title.endsWith('.safetensors')) return mediaTypes.safetensors
  if (title.endsWith('.jinja')) return mediaTypes.chatTemplate
  return /^licen[cs]e/i.test(title) ? mediaTypes.license : mediaTypes.modelFile
}
