import { sha256 } from './digests.js'

/** `sha256:HEX` of bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${sha256(bytes)}`
}

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
export const ggufLayer = 'application/vnd.docker.ai.gguf.v3'

/** A request to a registry; `token` is sent as Bearer. */
export interface Ask {
  readonly method?: string
  readonly body?: Uint8Array | string
  readonly headers?: Record<string, string>
  readonly token?: string | undefined
}

/** Sends a request to `path` of `url`, or to a whole address. */
export function ask(url: string, path: string, { method = 'GET', body, headers = {}, token }: Ask = {}): Promise<Response> {
  return fetch(path.startsWith('http') ? path : `${url}${path}`, {
    method,
    redirect: 'manual',
    // A connection that stood still for as long as this process did may be closed by the server just when it is taken again.
    ...(body !== undefined && { body: body as string }),
    headers: { connection: 'close', ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
  })
}

/** Uploads a blob in one POST. */
export async function pushBlob(url: string, name: string, bytes: Uint8Array, token: string): Promise<string> {
  const digest = digestOf(bytes)
  const { status } = await ask(url, `/v2/${name}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes, token })
  if (status !== 201) throw new Error(`the blob was answered ${status}`)
  return digest
}

/** Pushes a model of GGUF files under a tag, as Docker's model runner does: layers without titles, one for each shard. */
export async function pushGguf(
  url: string,
  { name, tag, files, token }: { name: string; tag: string; files: readonly Uint8Array[]; token: string },
): Promise<{ manifest: Buffer; digest: string }> {
  const layers: object[] = []
  for (const bytes of files) {
    layers.push({ mediaType: ggufLayer, digest: await pushBlob(url, name, bytes, token), size: bytes.byteLength })
  }
  const config = Buffer.from('{"config":{"format":"gguf","architecture":"llama","quantization":"Q4_K_M"}}')
  const configType = 'application/vnd.docker.ai.model.config.v0.1+json'
  const pointer = { mediaType: configType, digest: await pushBlob(url, name, config, token), size: config.byteLength }
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config: pointer, layers }))
  const headers = { 'content-type': ociManifest }
  const { status } = await ask(url, `/v2/${name}/manifests/${tag}`, { method: 'PUT', body: manifest, headers, token })
  if (status !== 201) throw new Error(`the manifest was answered ${status}`)
  return { manifest, digest: digestOf(manifest) }
}
