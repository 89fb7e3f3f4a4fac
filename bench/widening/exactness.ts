import { readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileSource } from '../../formats/byte-source.js'
import { decodeRow, readLogitsHeader, readLogitsRows, type StoredRow, scoredOfChunk } from '../../formats/logits/index.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import type { Blueprint } from '../../src/model/index.js'
import { type Grain, usefulChanges, type WidthChanges, type Widths, widen } from '../../src/model/widen/index.js'
import { planUniform } from '../../src/plan/index.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { loadModel } from '../../src/runner/index.js'
import { type CheckpointSpec, writeCheckpointOf } from '../coverage/checkpoints/index.js'
import { foreign } from '../foreign.js'
import { repositoryPath } from '../quality-subject.js'

const contextLength = 64
const chunks = 2

/** How far a wide model is from the same model with its own widths. */
export interface Exactness {
  /** What grew. */
  readonly widths: WidthChanges
  /** Largest difference of two logits of the same token, over the range of the logits of its position. */
  readonly logits: number
  /** Mean KL divergence of all scored positions. */
  readonly divergence: number
}

/** Which runtime computes the logits: the embedded llama.cpp, or llama-perplexity of the foreign programs. */
export type Judge = 'embedded' | 'foreign'

/**
 * The widths of a model that can grow, each by itself, then all together. The residual stream grows by 5 and not by 4 times, of which the
 * root is no power of two, so that no rounding is hidden.
 */
export function widthOptions(blueprint: Blueprint): Widths[] {
  const { embedding_length: embedding, ...others } = usefulChanges(blueprint)
  const useful: Widths = { ...others, ...(typeof embedding === 'number' && { embedding_length: embedding + 64 }) }
  const single = Object.entries(useful).map(([key, size]): Widths => ({ [key]: size }))
  return single.length > 1 ? [...single, useful] : single
}

/**
 * Writes a tiny checkpoint as F32 with its own widths and with each choice of larger ones, and compares their logits on a text.
 * @throws what llama.cpp says of a file that it does not load.
 */
export async function* exactnessOf(
  spec: CheckpointSpec,
  folder: string,
  options: { readonly choose?: (blueprint: Blueprint) => readonly Widths[]; readonly judge?: Judge; readonly grain?: Grain } = {},
): AsyncGenerator<Exactness> {
  const { choose = widthOptions, judge = 'embedded' } = options
  const source = await writeCheckpointOf(spec, join(folder, spec.name), spec.classes[0])
  const blueprint = await makeBlueprint(source, { pre: spec.pre })
  const text = (await readFile(repositoryPath('samples/text/kjv-heldout.txt'), 'utf8')).slice(0, 2000)
  const logitsOf = async (model: Blueprint, name: string): Promise<readonly StoredRow[]> => {
    const path = join(folder, `${spec.name}-${name}.gguf`)
    await finish(quantize({ blueprint: model, plan: planUniform(model, 'F32'), output: path, threads: 1, force: true }))
    const base = `${path}.logits`
    await (judge === 'embedded' ? save(path, base, text) : saveForeign(path, base, text))
    return rowsOf(base)
  }
  const narrow = await logitsOf(blueprint, 'narrow')
  for (const widths of choose(blueprint)) {
    const wide = widen(blueprint, widths, options.grain)
    const rows = await logitsOf(wide, 'wide')
    yield { widths: wide.widened?.widths ?? {}, ...difference(narrow, rows) }
  }
}

/**
 * Everything in F32, the KV cache too: flash attention rounds keys and values to F16, where the last bit of a sum decides by which of two
 * values, 5e-4 apart, a token is seen by all that follow. How large that is differs from one processor to the next.
 */
async function save(path: string, base: string, text: string): Promise<void> {
  const cache = { flashAttention: 'off', keyType: 'f32', valueType: 'f32' } as const
  await using model = await loadModel(path, { threads: 1, contextLength, batch: chunks * contextLength, ...cache })
  await finish(model.saveLogits(base, text, { contextLength, chunks }))
}

async function saveForeign(path: string, base: string, text: string): Promise<void> {
  const cwd = dirname(path)
  await writeFile(join(cwd, 'text.txt'), text)
  const names = ['-m', basename(path), '-f', 'text.txt', '--kl-divergence-base', basename(base)]
  const sizes = ['-c', contextLength, '-b', contextLength, '--chunks', chunks, '-t', 1].map(String)
  const cache = ['-fa', 'off', '-ctk', 'f32', '-ctv', 'f32']
  await foreign.run('llama-perplexity', [...names, ...sizes, ...cache], { cwd })
}

async function rowsOf(path: string): Promise<readonly StoredRow[]> {
  const source = await fileSource(path)
  try {
    const header = await readLogitsHeader(source)
    const rows = await readLogitsRows(source, header, 0, header.chunks * scoredOfChunk(header.contextLength))
    return rows.map((row) => decodeRow(row, header.vocabulary))
  } finally {
    await source.close()
  }
}

/** Files keep logarithms of probabilities in steps of 1/65535 of their range. */
function difference(narrow: readonly StoredRow[], wide: readonly StoredRow[]): Pick<Exactness, 'logits' | 'divergence'> {
  let [largest, divergence] = [0, 0]
  narrow.forEach((row, at) => {
    const [p, q] = [logarithms(row), logarithms(wide[at] as StoredRow)]
    const range = 65535 * row.scale
    p.forEach((value, token) => {
      largest = Math.max(largest, Math.abs(value - (q[token] as number)) / range)
      divergence += Math.exp(value) * (value - (q[token] as number))
    })
  })
  return { logits: largest, divergence: divergence / narrow.length }
}

/** Normalized: rounding moves the sum of the probabilities. */
function logarithms({ scale, minimum, codes }: StoredRow): Float64Array {
  const values = Float64Array.from(codes, (code) => scale * code + minimum)
  const sum = Math.log(values.reduce((total, value) => total + Math.exp(value), 0))
  return values.map((value) => value - sum)
}
