import { readFile, writeFile } from 'node:fs/promises'
import type { CoverageRow } from './coverage.js'
import { projectRoot } from './root.js'

/** Perplexities of one case: of our file by llama.cpp, of the checkpoint by transformers' own forward pass at f32; or how far embeddings differ. */
export interface RecordedPerplexity {
  readonly ppl?: number
  readonly transformersPpl?: number
  /** Of an encoder: one minus the cosine of the angle between both embeddings. */
  readonly distance?: number
  /** The version of transformers. */
  readonly transformers: string
}

const path = `${projectRoot}bench/coverage/perplexities.json`

/** What `npm run bench -- coverage --record` has measured so far, by name of the case. */
export async function recordedPerplexities(): Promise<Readonly<Record<string, RecordedPerplexity>>> {
  return JSON.parse(await readFile(path, 'utf8')) as Readonly<Record<string, RecordedPerplexity>>
}

/**
 * Why a perplexity is another, where llama.cpp or transformers computes a model otherwise: by name of the case. All others agree within
 * `tolerance`.
 */
export const differences: Readonly<Record<string, string>> = {
  'deepseek-v2': 'llama.cpp chooses groups of experts by the sum of their two best scores, the model by the best one: noted',
  gemma3n: 'llama.cpp divides the variance of 96 values by 95: of the 16,384 of a published model that makes 3e-5',
  'gpt-oss': 'products with MXFP4 round their inputs to 8 bits in llama.cpp; its form in BF16 is the next line',
  phimoe: 'llama.cpp weights experts by a softmax, the model by SparseMixer: noted',
  dbrx: 'transformers 5.24 takes a rope_theta of 10000, whatever attn_config says',
  mellum2: 'of the embedded llama.cpp 0.5.0; 0.7.0 has 3018.092',
}

/** Relative difference of two perplexities of the same model. */
export const tolerance = 5e-4

/**
 * Adds what was measured to the record, a line for each case. Rows without transformers' perplexity change nothing, nor do those of which
 * transformers did not find all tensors; of several classes of one case the first without a remark of transformers counts.
 */
export async function recordPerplexities(rows: readonly CoverageRow[]): Promise<void> {
  const found = new Map(Object.entries(await recordedPerplexities()))
  const taken = new Set<string>()
  const clean = rows.filter(({ transformers }) => transformers === undefined)
  const usable = rows.filter(({ transformers = '' }) => !/missing_keys|mismatched_keys|Error/.test(transformers))
  for (const { name, ppl, transformersPpl, distance, transformersVersion: transformers } of [...clean, ...usable]) {
    if (taken.has(name) || transformers === undefined) continue
    const rounded = (value: number): number => Number(value.toFixed(3))
    if (distance !== undefined) found.set(name, { distance: Number(Math.abs(distance).toExponential(0)), transformers })
    else if (ppl !== undefined && transformersPpl !== undefined)
      found.set(name, { ppl: rounded(ppl), transformersPpl: rounded(transformersPpl), transformers })
    else continue
    taken.add(name)
  }
  const lines = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, row]) => `  "${name}": ${JSON.stringify(row)}`)
  await writeFile(path, `{\n${lines.join(',\n')}\n}\n`)
}
