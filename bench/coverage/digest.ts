import { createHash } from 'node:crypto'
import { type MetadataValue, openGguf } from '../../formats/gguf/index.js'

/** What a GGUF file holds, without its bytes: enough to say where two files differ first. */
export interface GgufDigest {
  /** In the order of the file: type and value of each key; of what is long, the number of entries and the beginning of its SHA-256. */
  readonly keys: Readonly<Record<string, string>>
  /** In the order of the file: `F32 64x320 DIGEST`, dimensions as GGUF has them, the first 8 characters of the SHA-256 in base64url. */
  readonly tensors: Readonly<Record<string, string>>
}

const longest = 48

/** Reads all of a GGUF file. */
export async function digestGguf(path: string): Promise<GgufDigest> {
  const gguf = await openGguf(path)
  try {
    const tensors: Record<string, string> = {}
    for (const { name, dimensions, type, file, start, end } of gguf.tensors) {
      const bytes = (await gguf.sources[file]?.slice(start, end)) ?? new Uint8Array()
      tensors[name] = `${type} ${dimensions.join('x')} ${digestOf(bytes)}`
    }
    const keys = Object.fromEntries([...gguf.metadata].map(([key, value]) => [key, showValue(inOrder(key, value))]))
    return { keys, tensors }
  } finally {
    await gguf.close()
  }
}

/** llama.cpp's converter writes the names of chat templates in the order of a set, which is another with each run. */
function inOrder(key: string, value: MetadataValue): MetadataValue {
  if (key !== 'tokenizer.chat_templates' || value.type !== 'array') return value
  return { ...value, value: value.value.map(String).toSorted() }
}

function digestOf(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('base64url').slice(0, 8)
}

function showValue(value: MetadataValue): string {
  const json = (part: unknown): string =>
    JSON.stringify(part, (_, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner)) ?? 'null'
  const text = json(value.value)
  const kind = value.type === 'array' ? `${value.elementType}[${value.value.length}]` : value.type
  return text.length <= longest ? `${kind} ${text}` : `${kind} ${digestOf(text)}`
}

/** Says where `ours` differs first from `theirs`: keys before tensors, in their order; undefined where they are equal. */
export function firstDifference(ours: GgufDigest, theirs: GgufDigest): string | undefined {
  for (const part of ['keys', 'tensors'] as const) {
    const missing = Object.keys(theirs[part]).find((name) => !(name in ours[part]))
    if (missing !== undefined) return `${missing} is missing (${theirs[part][missing]})`
    const extra = Object.keys(ours[part]).find((name) => !(name in theirs[part]))
    if (extra !== undefined) return `${extra} is not upstream's (${ours[part][extra]})`
    const other = Object.entries(theirs[part]).find(([name, value]) => ours[part][name] !== value)
    if (other !== undefined) return `${other[0]} is ${ours[part][other[0]]}, upstream ${other[1]}`
  }
  for (const part of ['keys', 'tensors'] as const) {
    const [mine, their] = [Object.keys(ours[part]), Object.keys(theirs[part])]
    const index = their.findIndex((name, at) => mine[at] !== name)
    if (index !== -1) return `${mine[index]} stands in the place of ${their[index]}`
  }
  return undefined
}
