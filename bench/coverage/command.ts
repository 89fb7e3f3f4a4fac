import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { foreign } from '../foreign.js'
import { checkpointSpecs } from './checkpoints/index.js'
import { benchCoverage, type CoverageRow } from './coverage.js'
import { coverageDocument } from './document.js'
import { recordPerplexities } from './recorded.js'
import { benchSaved, savedText } from './saved.js'

/** `npm run bench -- coverage`: takes its arguments and prints its results. */
export async function coverage(args: string[]): Promise<void> {
  const [text, flag] = [{ type: 'string' } as const, { type: 'boolean' } as const]
  const options = {
    family: text,
    folder: text,
    json: flag,
    goldens: flag,
    'no-load': flag,
    'load-only': flag,
    update: flag,
    document: text,
    python: text,
    record: flag,
    saved: flag,
  }
  const { values } = parseArgs({ args, options })
  const wanted = values.family?.split(',')
  const specs = checkpointSpecs.filter(
    ({ arch, name, classes }) => wanted?.some((asked) => [arch, name, ...classes].includes(asked)) ?? true,
  )
  if (specs.length === 0) throw new Error(`There is no checkpoint of ${values.family}: name an architecture, a class or a case.`)
  if (values.saved === true) {
    if (values.python === undefined)
      throw new Error('--saved needs --python PATH, with torch and the transformers that is to save.')
    const rows = await benchSaved({ specs, python: values.python, say: (line) => console.error(line) })
    console.log(values.json === true ? JSON.stringify(rows, null, 2) : savedText(rows))
    return
  }
  if (values.folder !== undefined) await mkdir(values.folder, { recursive: true })
  const rows = await benchCoverage({
    specs,
    upstream: values.goldens !== true && foreign.available,
    load: values['no-load'] !== true,
    measure: values['load-only'] !== true,
    update: values.update === true,
    folder: values.folder === undefined ? undefined : resolve(values.folder),
    python: values.python,
    say: (text) => console.error(text),
  })
  if (values.record === true) await recordPerplexities(rows)
  if (values.document !== undefined) {
    const before = await readFile(values.document, 'utf8').catch(() => '')
    await writeFile(values.document, await coverageDocument(rows, before))
  }
  console.log(values.json === true ? JSON.stringify(rows, null, 2) : coverageText(rows))
}

/** A line for each class, and how many are equal. */
export function coverageText(rows: readonly CoverageRow[]): string {
  const classes = new Set(rows.map((row) => row.class))
  const ofClass = (name: string): CoverageRow[] => rows.filter((row) => row.class === name && row.state !== 'failed')
  const equal = [...classes].filter((name) => ofClass(name).length > 0 && ofClass(name).every(({ state }) => state === 'equal'))
  return [...rows.map(coverageLine), `${equal.length} of ${classes.size} equal`].join('\n')
}

function coverageLine({
  state,
  detail,
  better,
  loads,
  ppl,
  upstreamPpl,
  transformersPpl,
  distance,
  ...row
}: CoverageRow): string {
  const what = state === 'equal' ? ['equal', ...(better === undefined ? [] : [better])].join(' ') : `${state}: ${detail ?? ''}`
  const perplexities =
    distance === undefined
      ? [ppl, upstreamPpl, transformersPpl].map((value) => value?.toFixed(3) ?? '-').join('/')
      : `embeddings differ by ${distance.toExponential(1)}`
  const verdict = loads === undefined ? 'not loaded' : loads ? 'loads' : `does not load: ${detail ?? ''}`
  return [row.class, row.name, what, verdict, perplexities, ...(row.transformers === undefined ? [] : [row.transformers])].join(
    ', ',
  )
}
