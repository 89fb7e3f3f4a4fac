import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sizeText } from '../../src/model/widen/index.js'
import { formatTable } from '../../src/terminal/index.js'
import { type CheckpointSpec, checkpointSpecs } from '../coverage/checkpoints/index.js'
import { configNames } from './config-blueprint.js'
import { type Exactness, exactnessOf } from './exactness.js'
import { benchOss } from './gpt-oss.js'
import { type WideningSizes, wideningSizes } from './sizes.js'
import { benchSpeed } from './speed.js'
import { placements, type TrainedFile, type TrainedModel, sizes as trainedSizes, widenings } from './trained.js'

/** Parts of `npm run bench -- widening PART`; each takes its arguments and prints its results. */
const parts: Record<string, (args: string[]) => Promise<void>> = { exact, sizes, placement, curve, 'gpt-oss': gptOss, speed }

/** `npm run bench -- widening`: takes its arguments and prints its results. */
export async function widening([name = '', ...args]: string[]): Promise<void> {
  const part = parts[name]
  if (part === undefined) throw new Error(`usage: npm run bench -- widening ${Object.keys(parts).join(' | ')} [--json]`)
  await part(args)
}

/** What may differ: logits by so much of their range, and the KL divergence. */
const most = { logits: 1e-4, divergence: 1e-7 }

/** Wide against narrow in F32, for each family and each width that it lets grow. */
async function exact(args: string[]): Promise<void> {
  const options = { family: { type: 'string' }, json: { type: 'boolean' }, foreign: { type: 'boolean' } } as const
  const { values } = parseArgs({ args, options })
  const wanted = values.family?.split(',')
  const specs = checkpointSpecs.filter(({ arch, name }) => wanted?.some((asked) => [arch, name].includes(asked)) ?? true)
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-exact-'))
  const rows: ExactRow[] = []
  try {
    for (const spec of specs) {
      for await (const row of exactRows(spec, folder, values.foreign === true ? 'foreign' : 'embedded')) {
        rows.push(row)
        if (values.json !== true) console.error(Object.values(exactLine(row)).join('  '))
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  console.log(values.json === true ? JSON.stringify(rows, null, 2) : exactText(rows))
}

interface ExactRow {
  readonly name: string
  readonly arch: string
  readonly found?: Exactness
  readonly failure?: string
}

async function* exactRows(spec: CheckpointSpec, folder: string, judge: 'embedded' | 'foreign'): AsyncGenerator<ExactRow> {
  const { name, arch } = spec
  try {
    for await (const found of exactnessOf(spec, folder, { judge })) yield { name, arch, found }
  } catch (error) {
    yield { name, arch, failure: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error) }
  }
}

function exactLine({ name, arch, found, failure }: ExactRow): Record<string, string> {
  const exactly = found !== undefined && found.logits <= most.logits && found.divergence <= most.divergence
  return {
    name,
    arch,
    widths: Object.entries(found?.widths ?? {})
      .map(([key, { from, to }]) => `${key} ${sizeText(from)} to ${sizeText(to)}`)
      .join(', '),
    logits: found?.logits.toExponential(1) ?? '',
    divergence: found?.divergence.toExponential(1) ?? '',
    verdict: failure ?? (exactly ? 'exact' : 'NOT EXACT'),
  }
}

function exactText(rows: readonly ExactRow[]): string {
  const titles = ['name', 'arch', 'widths', 'logits', 'divergence', 'verdict']
  return formatTable(
    titles.map((title) => ({ title })),
    rows.map((row) => Object.values(exactLine(row))),
  )
}

/** Sizes from configurations alone, as they are and widened. */
async function sizes(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options: { json: { type: 'boolean' } }, allowPositionals: true })
  const rows: WideningSizes[] = []
  for (const name of positionals.length > 0 ? positionals : await configNames()) rows.push(await wideningSizes(name))
  console.log(values.json === true ? JSON.stringify(rows, null, 2) : sizesText(rows))
}

function sizesText(rows: readonly WideningSizes[]): string {
  const titles = [
    'model',
    'G weights',
    'least',
    'widened',
    'Q4_K_M',
    'widened',
    'IQ2_M',
    'widened',
    'elements',
    'active',
    'cache',
    'widths',
  ]
  const align = (title: string) => ({
    title,
    align: ['model', 'widths'].includes(title) ? ('left' as const) : ('right' as const),
  })
  return formatTable(
    titles.map(align),
    rows.map(({ name, weights, narrow, wide, elements, activeElements, cache, widths }) => [
      name,
      (weights / 1e9).toFixed(2),
      ...[narrow.least, wide.least, narrow.Q4_K_M, wide.Q4_K_M, narrow.IQ2_M, wide.IQ2_M].map((bits) => bits.toFixed(2)),
      `x ${elements.toFixed(3)}`,
      `x ${activeElements.toFixed(3)}`,
      `x ${(cache[1] / cache[0]).toFixed(2)}`,
      widths.join(', '),
    ]),
  )
}

const text = { type: 'string' } as const
const trainedOptions = {
  json: { type: 'boolean' },
  model: text,
  calibration: text,
  text: { type: 'string', multiple: true },
  chunks: text,
  threads: text,
} as const

/** Where zeros come to stand in a trained network: one type for all matrices, the same bytes. */
async function placement(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { ...trainedOptions, types: text, grains: text, widening: text } })
  const { types = 'Q2_K,IQ3_XXS,Q4_K', grains = '0,32,8,1', widening = 'all' } = values
  await overTrained(values, (trained) =>
    placements(trained, { types: types.split(','), grains: grains.split(',').map(Number), widening }),
  )
}

/** KL divergence along sizes, as the network is and widened. */
async function curve(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { ...trainedOptions, bits: text, names: text } })
  const { bits = '3.3,3.6,3.9,4.1,4.5,5', names } = values
  await overTrained(values, (trained) =>
    trainedSizes(trained, { bits: bits.split(',').map(Number), names: names?.split(',') ?? Object.keys(widenings) }),
  )
}

interface TrainedValues {
  readonly json?: boolean | undefined
  readonly model?: string | undefined
  readonly calibration?: string | undefined
  readonly text?: string[] | undefined
  readonly chunks?: string | undefined
  readonly threads?: string | undefined
}

/** @throws Error where a file is not named. */
async function overTrained(
  values: TrainedValues,
  measure: (trained: TrainedModel) => AsyncGenerator<TrainedFile>,
): Promise<void> {
  const { model, calibration, text: texts = [], chunks = '1', threads } = values
  if (model === undefined || calibration === undefined || texts.length === 0) {
    throw new Error(
      'name --model F16.gguf, --calibration FILE of `mq imatrix` and one or more --text NAME=FILE; see docs/widening.md',
    )
  }
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-trained-'))
  try {
    const trained = {
      model,
      calibration,
      texts: Object.fromEntries(texts.map((spec) => spec.split(/=(.*)/).slice(0, 2) as [string, string])),
      chunks: Number(chunks),
      folder,
      threads: threads === undefined ? undefined : Number(threads),
    }
    const found: TrainedFile[] = []
    for await (const file of measure(trained)) {
      found.push(file)
      console.error(JSON.stringify(file))
    }
    console.log(values.json === true ? JSON.stringify(found, null, 2) : trainedText(found))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function trainedText(files: readonly TrainedFile[]): string {
  const texts = Object.keys(files[0]?.divergence ?? {})
  const titles = ['file', 'bytes', 'bits', ...texts, 'mean']
  return formatTable(
    titles.map((title) => ({ title, align: title === 'file' ? ('left' as const) : ('right' as const) })),
    files.map(({ what, dataBytes, bitsPerWeight, divergence }) => {
      const figures = texts.map((name) => divergence[name] as number)
      const mean = figures.reduce((sum, value) => sum + value, 0) / figures.length
      return [what, String(dataBytes), bitsPerWeight.toFixed(3), ...[...figures, mean].map((value) => value.toFixed(4))]
    }),
  )
}

/** A model like gpt-oss to few bits in one pass, and llama-server with it. */
async function gptOss(args: string[]): Promise<void> {
  const options = { json: { type: 'boolean' }, hidden: text, experts: text, layers: text, bits: text, threads: text } as const
  const { values } = parseArgs({ args, options })
  const { hidden = '2880', experts = '8', layers = '2', bits = '2.6', threads } = values
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-oss-'))
  try {
    const sizes = { hidden: Number(hidden), experts: Number(experts), layers: Number(layers) }
    const found = await benchOss(folder, sizes, Number(bits), threads === undefined ? undefined : Number(threads))
    console.log(
      values.json === true
        ? JSON.stringify(found, null, 2)
        : [
            `${(found.weights / 1e6).toFixed(0)} M weights. As it is: ${found.least === '' ? 'met' : found.least}`,
            `Widened: ${found.bitsPerWeight.toFixed(3)} bits per weight, ${found.bytes} bytes, ${found.seconds.toFixed(0)} s.`,
            ...found.notes,
            found.served === undefined ? 'llama-server is not there.' : `llama-server predicted ${found.served} tokens.`,
          ].join('\n'),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Time to make and to run a model like gpt-oss, wide against narrow. */
async function speed(args: string[]): Promise<void> {
  const options = { json: { type: 'boolean' }, hidden: text, experts: text, layers: text, types: text, rounds: text } as const
  const { values } = parseArgs({ args, options })
  const { hidden = '2880', experts = '4', layers = '1', types = 'BF16,F16,Q8_0,Q5_0,Q4_K', rounds = '3' } = values
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-speed-'))
  try {
    const sizes = { hidden: Number(hidden), experts: Number(experts), layers: Number(layers) }
    const found = []
    for (const type of types.split(',')) found.push(await benchSpeed(folder, sizes, type, Number(rounds)))
    const figure = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(2))
    console.log(
      values.json === true
        ? JSON.stringify(found, null, 2)
        : formatTable(
            ['type', 'elements', 'quantizing', 'same types', 'prompt', 'generation'].map((title) => ({ title })),
            found.map(({ type, ...rest }) => [
              type,
              ...[rest.elements, rest.quantizing, rest.sameTypes, rest.prompt, rest.generation].map(figure),
            ]),
          ),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
