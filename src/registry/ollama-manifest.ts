import { type BlobIdentity, type Descriptor, digestOf, encodeJson, type ModelConfig, mediaTypes } from './store/index.js'

/** The media type of ollama's configurations, by which its own manifests are known. */
export const ollamaConfigType = 'application/vnd.docker.container.image.v1+json'

/** Manifest and configuration of a model for ollama. */
export interface OllamaManifest {
  /** The manifest's bytes. */
  readonly manifest: Buffer
  /** The configuration that it points to. */
  readonly config: { readonly digest: string; readonly bytes: Buffer }
}

/**
 * Makes the manifest and the configuration of a model for ollama. Source: ollama, server/manifest.go.
 * @param weights the one GGUF file. @param known properties of the model.
 * @param others layers beside the weights, of ollama's types.
 */
export function makeOllamaManifest(
  weights: BlobIdentity,
  known: Partial<Pick<ModelConfig, 'architecture' | 'quantization'>>,
  others: readonly Descriptor[] = [],
): OllamaManifest {
  const bytes = encodeJson({
    model_format: 'gguf',
    model_family: known.architecture ?? '',
    model_families: known.architecture === undefined ? null : [known.architecture],
    model_type: '',
    file_type: known.quantization ?? '',
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [weights.digest] },
  })
  const digest = digestOf(bytes)
  const manifest = encodeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: ollamaConfigType, digest, size: bytes.byteLength },
    layers: [{ mediaType: 'application/vnd.ollama.image.model', digest: weights.digest, size: weights.size }, ...others],
  })
  return { manifest, config: { digest, bytes } }
}
