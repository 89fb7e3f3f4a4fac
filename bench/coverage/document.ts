import { planChoices } from '../../src/index.js'
import { converterClasses } from './classes.js'
import type { CoverageRow } from './coverage.js'
import { differences, type RecordedPerplexity, recordedPerplexities } from './recorded.js'

/**
 * docs/coverage.md: what becomes of every class name that llama.cpp's converter takes.
 * @param before the document as it was: classes that no row is about keep their lines.
 */
export async function coverageDocument(rows: readonly CoverageRow[], before: string): Promise<string> {
  const { architectures } = await planChoices()
  const known = new Set(architectures)
  const kept = linesOf(before)
  const lines = converterClasses.map((name) => {
    const line = kept.get(name)
    const isAsked = rows.some((row) => row.class === name)
    return isAsked || line === undefined || (line.state === 'refused') === known.has(name)
      ? lineOf(name, known.has(name), rows)
      : line
  })
  const equal = lines.filter(({ state }) => state.startsWith('equal')).length
  return `# Coverage

Every class name that llama.cpp's converter (0.7.0) takes, and how the file that \`mq convert\` makes of a tiny checkpoint of that class compares
with the converter's own: every key, and every tensor's name, shape, type and digest, at f32 and bf16. Written by
\`npm run bench -- coverage --document docs/coverage.md\`; see [adding-an-architecture.md](adding-an-architecture.md).

- **equal**: to the last key and tensor. **equal but**: what is named differs on purpose.
- **converted, not compared**: there is no checkpoint to compare with, or the converter fails at it.
- **refused**: by name, before any work.

**${equal} of ${converterClasses.length} equal.**

| class | architecture | state | loads in llama.cpp |
|---|---|---|---|
${lines.map(({ name, arch, state, loads }) => `| ${name} | ${arch} | ${state} | ${loads} |`).join('\n')}

${perplexityTable(await recordedPerplexities())}`
}

function perplexityTable(recorded: Readonly<Record<string, RecordedPerplexity>>): string {
  const lines = Object.entries(recorded).flatMap(([name, { ppl, transformersPpl, transformers }]) =>
    ppl === undefined || transformersPpl === undefined
      ? []
      : [`| ${name} | ${ppl.toFixed(3)} | ${transformersPpl.toFixed(3)} | ${transformers} | ${differences[name] ?? ''} |`],
  )
  const encoders = Object.entries(recorded).flatMap(([name, { distance, transformers }]) =>
    distance === undefined ? [] : [`| ${name} | ${distance.toExponential(0)} | ${transformers} | ${differences[name] ?? ''} |`],
  )
  return `## Perplexity against transformers

Our file in llama.cpp, and the checkpoint in transformers' own forward pass, both at f32, the KV cache included. The weights are random: only whether
the two agree says something. They do to the fourth digit at least, but where the last column says why not. Not here are classes whose code transformers has not,
or reads from such a checkpoint only in part. Written by \`npm run bench -- coverage --family NAME --record\`, with \`--python PATH\` where another transformers than the foreign
root's is to be asked.

| checkpoint | mq, llama.cpp | transformers | version | why they differ |
|---|---|---|---|---|
${lines.join('\n')}

Of models that predict no next token: one minus the cosine of the angle between llama.cpp's embedding of a text, with \`--pooling mean\`, and the
mean of transformers' last states.

| checkpoint | embeddings differ by | version | why they differ |
|---|---|---|---|
${encoders.join('\n')}
`
}

interface Line {
  readonly name: string
  readonly arch: string
  readonly state: string
  readonly loads: string
}

/** The lines of a document's table, by class. */
function linesOf(document: string): Map<string, Line> {
  const table = document.slice(0, document.indexOf('\n## '))
  const cells = [...table.matchAll(/^\| (.+?) \| (.*?) ?\| (.+) \| (yes|no|) ?\|$/gm)]
  return new Map(cells.map(([, name = '', arch = '', state = '', loads = '']) => [name, { name, arch, state, loads }]))
}

function lineOf(name: string, isKnown: boolean, rows: readonly CoverageRow[]): Line {
  const all = rows.filter((row) => row.class === name)
  const compared = all.filter(({ state }) => state !== 'failed')
  const arch = [...new Set(all.map((row) => row.arch))].join(', ')
  if (!isKnown) return { name, arch: '', state: 'refused', loads: '' }
  if (compared.length === 0) return { name, arch, state: 'converted, not compared', loads: '' }
  const other = compared.find(({ state }) => state !== 'equal')
  if (other !== undefined) return { name, arch, state: `${other.state} (${other.name})`, loads: '' }
  const reasons = [...new Set(compared.flatMap(({ better }) => better ?? []))]
  const tried = compared.filter(({ loads }) => loads !== undefined)
  const loads = tried.length === 0 ? '' : tried.every((row) => row.loads) ? 'yes' : 'no'
  return { name, arch, state: ['equal', ...reasons.map((reason) => reason.replaceAll('|', '\\|'))].join(' '), loads }
}
