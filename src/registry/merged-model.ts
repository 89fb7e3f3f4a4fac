import { createHash } from 'node:crypto'
import { mkdir, open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { fileSource } from '../../formats/byte-source.js'
import { layoutGguf, openGguf, shardName } from '../../formats/gguf/index.js'
import { blobPath, type Descriptor, encodeJson, type Store, writeAtomically } from './store/index.js'

/** Consecutive bytes of a merged model: of a shard, or made for it (its header, zeros between tensors). */
export type MergedPart =
  | { readonly digest: string; readonly start: number; readonly end: number }
  | { readonly bytes: Uint8Array }

/** A split model as one virtual GGUF file: a header of its own, then the shards' tensors. */
export interface MergedModel {
  readonly digest: string
  readonly sizeBytes: number
  readonly parts: readonly MergedPart[]
  /** Sizes of the shards by digest. */
  readonly sizes: ReadonlyMap<string, number>
}

const recordSchema = v.object({
  version: v.literal(1),
  digest: v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/)),
  /** The parts that the digest was computed for. */
  parts: v.string(),
})
const readBytes = 1 << 20

/**
 * Merges the shards of a model without copying them. The digest costs one pass over them; it is cached in `merged/` where the disk is
 * writable.
 * @param shards in order.
 * @param manifest digest of the manifest that they belong to.
 * @throws MqError GGUF_INVALID where they do not belong together, and Node's own errors.
 */
export async function mergeShards(store: Store, shards: readonly Descriptor[], manifest: string): Promise<MergedModel> {
  const pathOf = (digest: string): string => blobPath(store, digest)
  const parts = await layoutMerged(shards, pathOf)
  const sizeBytes = parts.reduce((sum, part) => sum + lengthOf(part), 0)
  const sizes = new Map(shards.map(({ digest, size }) => [digest, size]))
  const key = keyOf(parts)
  const path = join(store.directory, 'merged', `${manifest.slice('sha256:'.length)}.json`)
  const known = v.safeParse(recordSchema, await readRecord(path))
  if (known.success && known.output.parts === key) return { digest: known.output.digest, sizeBytes, parts, sizes }
  const digest = await digestOf(parts, pathOf)
  const record = encodeJson({ version: 1, digest, parts: key })
  // A read-only registry computes it again after a restart.
  await mkdir(dirname(path), { recursive: true })
    .then(() => writeAtomically(store, path, record))
    .catch(() => undefined)
  return { digest, sizeBytes, parts, sizes }
}

/** Identity of a shard. */
type Shard = Pick<Descriptor, 'digest'>

/** Computes the parts of a merged model. @param pathOf path of the file of a digest. @throws MqError GGUF_INVALID. */
export async function layoutMerged(shards: readonly Shard[], pathOf: (digest: string) => string): Promise<MergedPart[]> {
  const names = shards.map((_, index) => shardName('model', index, shards.length))
  const model = await openGguf(names[0] as string, async (name) => {
    const shard = shards[names.indexOf(name)] as Shard
    return fileSource(pathOf(shard.digest))
  })
  try {
    const { header, tensors, dataBytes } = layoutGguf(model.metadata, model.tensors)
    const parts: MergedPart[] = [{ bytes: header }]
    let written = 0
    const fill = (upTo: number): void => {
      if (upTo > written) parts.push({ bytes: new Uint8Array(upTo - written) })
      written = upTo
    }
    for (const [index, { offset, sizeBytes }] of tensors.entries()) {
      const { file, start, end } = model.tensors[index] as (typeof model.tensors)[number]
      fill(offset)
      if (sizeBytes > 0) parts.push({ digest: (shards[file] as Shard).digest, start, end })
      written += sizeBytes
    }
    fill(dataBytes)
    return joined(parts)
  } finally {
    await model.close()
  }
}

/** Joins parts that are adjacent in a shard, with the same padding between them. */
function joined(parts: readonly MergedPart[]): MergedPart[] {
  const list: MergedPart[] = []
  for (const part of parts) {
    const before = list.at(-1)
    if (
      'digest' in part &&
      before !== undefined &&
      'digest' in before &&
      before.digest === part.digest &&
      before.end === part.start
    )
      list[list.length - 1] = { ...before, end: part.end }
    else list.push(part)
  }
  return list
}

/** Returns the size of a part in bytes. */
export function lengthOf(part: MergedPart): number {
  return 'bytes' in part ? part.bytes.byteLength : part.end - part.start
}

function keyOf(parts: readonly MergedPart[]): string {
  const key = createHash('sha256')
  for (const part of parts) key.update('bytes' in part ? part.bytes : `${part.digest} ${part.start} ${part.end}\n`)
  return key.digest('hex')
}

async function readRecord(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch {
    return undefined
  }
}

/** Computes the digest of a merged model in one pass over its shards. */
export async function digestOf(parts: readonly MergedPart[], pathOf: (digest: string) => string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of readParts(parts, pathOf)) hash.update(piece)
  return `sha256:${hash.digest('hex')}`
}

/** Reads a merged model in chunks; each chunk is overwritten by the next. */
export async function* readParts(
  parts: readonly MergedPart[],
  pathOf: (digest: string) => string,
): AsyncGenerator<Uint8Array, void, void> {
  const buffer = Buffer.allocUnsafe(readBytes)
  for (const part of parts) {
    if ('bytes' in part) {
      yield part.bytes
      continue
    }
    const handle = await open(pathOf(part.digest), 'r')
    try {
      for (let at = part.start; at < part.end; ) {
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, part.end - at), at)
        if (bytesRead === 0) throw new RangeError(`${part.digest} was cut off`)
        yield buffer.subarray(0, bytesRead)
        at += bytesRead
      }
    } finally {
      await handle.close()
    }
  }
}
