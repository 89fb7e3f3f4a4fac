import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from './digests.js'
import { concat, ggufBytes } from './gguf-bytes.js'

const { u32, text, tensor, header } = ggufBytes()
const [typeUint16, typeUint32, typeInt32, typeString] = [2, 4, 5, 8] as const

/** A folder of its own for a test; `await using` removes it. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'mq-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** The bytes of a GGUF of one F32 tensor of eight values: valid, though no model. */
export function tinyGguf({ fileType = 15, value = 1, shard }: TinyOptions = {}): Uint8Array {
  const { index = 0, count = 1 } = shard ?? {}
  const general = [
    concat([text('general.architecture'), u32(typeString), text('llama')]),
    concat([text('general.file_type'), u32(typeUint32), u32(fileType)]),
  ]
  const split = [
    concat([text('split.no'), u32(typeUint16), Uint8Array.of(index, 0)]),
    concat([text('split.count'), u32(typeUint16), Uint8Array.of(count, 0)]),
    concat([text('split.tensors.count'), u32(typeInt32), u32(count)]),
  ]
  const keys = [...(index === 0 ? general : []), ...(shard === undefined ? [] : split)]
  return concat([
    header(keys, [tensor(`t${index}.weight`, [8], 0, 0)]),
    new Uint8Array(Float32Array.of(...Array(8).fill(value)).buffer),
  ])
}

export interface TinyOptions {
  /** general.file_type; 15 is Q4_K_M. */
  readonly fileType?: number
  /** What the tensor holds, so that files differ. */
  readonly value?: number
  readonly shard?: { readonly index: number; readonly count: number }
}

/** Writes a tiny GGUF and returns its path. */
export async function writeTinyGguf(folder: string, name: string, options: TinyOptions = {}): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, tinyGguf(options))
  return path
}

/** A report of `mq verify`, as src/verify writes it, for files of these contents. */
export function tinyReport(files: readonly Uint8Array[]): object {
  const estimate = { value: 1, standardError: 0.1 }
  return {
    version: 1,
    files: files.map((bytes) => ({ name: 'm.gguf', sha256: sha256(bytes), sizeBytes: bytes.byteLength })),
    bitsPerWeight: 4.5,
    reference: { name: 'f16.gguf', sizeBytes: 1, perplexity: estimate },
    text: { name: 'held-out.txt', sha256: sha256(Buffer.from('text')), contextLength: 128, chunks: 1, scoredTokens: 64 },
    perplexity: estimate,
    perplexityRatio: estimate,
    gates: [],
    passed: true,
    llamaCpp: 'b1',
  }
}
