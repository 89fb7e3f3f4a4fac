import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import type { Store } from './store.js'

/** Media types in a repository: those of Docker's model runner where they exist, so that it accepts these manifests. */
export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  /** Docker's, in which ollama pushes and pulls. */
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  /** Configuration of a model of GGUF files. */
  ggufConfig: 'application/vnd.docker.ai.model.config.v0.1+json',
  /** Configuration of a model of one layer for each file of a folder. */
  filesConfig: 'application/vnd.docker.ai.model.config.v0.2+json',
  gguf: 'application/vnd.docker.ai.gguf.v3',
  safetensors: 'application/vnd.docker.ai.safetensors',
  chatTemplate: 'application/vnd.docker.ai.chat.template.jinja',
  license: 'application/vnd.docker.ai.license',
  modelFile: 'application/vnd.docker.ai.model.file',
  /** A report of `mq verify`. */
  verifyReport: 'application/vnd.mq.verify.v1+json',
  /** A plan of `mq plan`. */
  plan: 'application/vnd.mq.plan.v1+json',
} as const

/** Keys of annotations. */
export const annotations = {
  /** Path of a layer's file. */
  title: 'org.opencontainers.image.title',
  /** The same, as Docker's model runner reads it from one-layer-a-file models. */
  filePath: 'org.cncf.model.filepath',
  /** Tag of a manifest in index.json. */
  tag: 'org.opencontainers.image.ref.name',
  /** Prefix of provenance: `mq.source`, `mq.plan`, `mq.calibration`, `mq.version`, in the annotations of its manifest. */
  provenance: 'mq.',
} as const

/** Limits for data from disk or from a client. */
export const limits = { manifestBytes: 4 << 20, indexBytes: 16 << 20, manifests: 10_000, layers: 10_000 } as const

/** Manifests of files: the OCI's, and Docker's, in which ollama pushes. */
export const manifestTypes = [mediaTypes.manifest, mediaTypes.dockerManifest] as const

const digestSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/))
const annotationsSchema = v.record(v.pipe(v.string(), v.maxLength(512)), v.pipe(v.string(), v.maxLength(65_536)))

const descriptorSchema = v.looseObject({
  mediaType: v.pipe(v.string(), v.maxLength(255)),
  digest: digestSchema,
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  artifactType: v.optional(v.pipe(v.string(), v.maxLength(255))),
  annotations: v.optional(annotationsSchema),
})

const manifestSchema = v.looseObject({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.picklist(manifestTypes)),
  artifactType: v.optional(v.string()),
  config: descriptorSchema,
  layers: v.pipe(v.array(descriptorSchema), v.maxLength(limits.layers)),
  annotations: v.optional(annotationsSchema),
})

const indexSchema = v.looseObject({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.literal(mediaTypes.index)),
  manifests: v.pipe(v.array(descriptorSchema), v.maxLength(limits.manifests)),
  annotations: v.optional(annotationsSchema),
})

const configSchema = v.looseObject({
  config: v.looseObject({
    format: v.optional(v.string()),
    architecture: v.optional(v.string()),
    quantization: v.optional(v.string()),
  }),
})

/** A reference to a blob: OCI image specification, descriptor.md. */
export type Descriptor = v.InferOutput<typeof descriptorSchema>
/** The content of a tag: OCI image specification, manifest.md. */
export type Manifest = v.InferOutput<typeof manifestSchema>
/** The tags of a repository: OCI image specification, image-index.md. */
export type Index = v.InferOutput<typeof indexSchema>
/** Fields of a model's configuration that are shown. */
export type ModelConfig = v.InferOutput<typeof configSchema>['config']

/** Returns the tag of an index entry; undefined where it has none. */
export function tagOf({ annotations: notes }: Descriptor): string | undefined {
  return notes?.[annotations.tag]
}

/** Reads a manifest. @param name for messages. @throws MqError REGISTRY_CORRUPT. */
export function parseManifest(store: Store, bytes: Uint8Array, name: string): Manifest {
  return parse(manifestSchema, store, bytes, `manifest ${name}`)
}

/** Reads the index.json of a repository. @throws MqError REGISTRY_CORRUPT. */
export function parseIndex(store: Store, bytes: Uint8Array, path: string): Index {
  return parse(indexSchema, store, bytes, path)
}

/** Reads the configuration of a model. @param name for messages. @throws MqError REGISTRY_CORRUPT. */
export function parseModelConfig(store: Store, bytes: Uint8Array, name: string): ModelConfig {
  return parse(configSchema, store, bytes, `configuration ${name}`).config
}

/** Encodes JSON with a fixed order of keys and no spaces: the same manifest has the same bytes everywhere. */
export function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function parse<Schema extends v.GenericSchema>(
  schema: Schema,
  store: Store,
  bytes: Uint8Array,
  what: string,
): v.InferOutput<Schema> {
  const corrupt = (problem: string): MqError =>
    MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: `${what}: ${problem}` })
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw corrupt('it is not JSON')
  }
  const result = v.safeParse(schema, json)
  if (result.success) return result.output
  const [issue] = result.issues
  throw corrupt(`${v.getDotPath(issue) ?? 'it'}: ${issue.message}`)
}
