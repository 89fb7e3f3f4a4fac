import { readFile, writeFile } from 'node:fs/promises'
import type { CoverageRow } from './coverage.js'
import { projectRoot } from './root.js'

/** Perplexities of one case: of our file by llama.cpp, of the checkpoint by transformers' own forward pass at f32. */
export interface RecordedPerplexity {
  readonly ppl: number
  readonly transformersPpl: number
  /** The version of transformers. */
  readonly transformers: string
}

const path = `${projectRoot}bench/coverage/perplexities.json`

/** What `npm run bench -- coverage --record` has measured so far, by name of the case. */
export async function recordedPerplexities(): Promise<Readonly<Record<string, RecordedPerplexity>>> {
  return JSON.parse(await readFile(path, 'utf8')) as Readonly<Record<string, RecordedPerplexity>>
}

/** Adds what was measured to the record, a line for each case. Rows without transformers' perplexity change nothing. */
export async function recordPerplexities(rows: readonly CoverageRow[]): Promise<void> {
  const found = new Map(Object.entries(await recordedPerplexities()))
  for (const { name, ppl, transformersPpl, transformersVersion } of rows) {
    if (ppl === undefined || transformersPpl === undefined || transformersVersion === undefined) continue
    const rounded = (value: number): number => Number(value.toFixed(3))
    found.set(name, { ppl: rounded(ppl), transformersPpl: rounded(transformersPpl), transformers: transformersVersion })
  }
  const lines = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, row]) => `  "${name}": ${JSON.stringify(row)}`)
  await writeFile(path, `{\n${lines.join(',\n')}\n}\n`)
}
