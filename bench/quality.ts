import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readMixture } from '../src/plan/allocate/index.js'
import { foreign } from './foreign.js'
import { inOrder } from './in-order.js'
import { openCache } from './quality-cache.js'
import { type Known, openLab, type QualityFile, type QualityLab } from './quality-lab.js'
import { type ComparedSize, comparedSizes, presetAt } from './quality-sizes.js'
import { type QualitySubject, sampleNames, sampleSubject } from './quality-subject.js'

export const rivalKinds = [
  'llama.cpp-preset',
  'llama.cpp-without-imatrix',
  'our-kernels-preset',
  'target-bpw-style',
  'unsloth-style',
] as const
export type RivalKind = (typeof rivalKinds)[number]

/** One of our files against a rival's of at least as many bytes, on one text. */
export interface QualityRow {
  readonly sample: string
  readonly text: string
  /** Its kind, and which. */
  readonly rival: string
  /** Of the whole files. */
  readonly rivalBytes: number
  readonly bytes: number
  /** Of ours. */
  readonly bitsPerWeight: number
  /** Mean KL divergence from the bf16 model, with its standard error. */
  readonly kld: number
  readonly kldError: number
  readonly rivalKld: number
  readonly rivalKldError: number
  /** What 99 % of the tokens do not exceed. */
  readonly kld99: number
  readonly rivalKld99: number
  /** Share of tokens with the same likeliest one. */
  readonly sameTop: number
  readonly rivalSameTop: number
  readonly ppl: number
  readonly rivalPpl: number
}

export interface QualityOptions {
  /** By default both samples of the repository, each on its two texts. */
  readonly subjects?: readonly QualitySubject[]
  /** Names of comparedSizes. */
  readonly sizes?: readonly string[]
  readonly rivals?: readonly RivalKind[]
  /** Most chunks of each text; by default what each text says. */
  readonly chunks?: number | undefined
  /** Folder in which measurements are kept for the next run. */
  readonly cache?: string | undefined
  /** Told what is left out. */
  readonly say?: (line: string) => void
}

/** The most that a file of ours may have. */
interface Budget {
  readonly dataBytes: number
  readonly bytes: number
}

/** A file to beat. */
interface Rival {
  readonly name: string
  readonly file: QualityFile
  readonly budget: Budget
  /** What ours knows of the inputs. */
  readonly known: Known
}

/** Rivals whose budgets differ by less stand against one file of ours, which keeps to the least. */
const alike = 0.01

/** Sizes that are worked on side by side: while a file of one is made, one of another is measured. */
const sizesAtOnce = 2

/**
 * Holds `mq quantize --bits` against rivals of the same bytes: llama-quantize's presets, the same with our kernels, what its
 * proposed `--target-bpw` would choose, and mixes of Unsloth's kind with our kernels. All use one calibration of a text that is in neither of the texts measured on.
 */
export async function* benchQuality(options: QualityOptions = {}): AsyncGenerator<QualityRow> {
  const { rivals: kinds = rivalKinds, sizes, say = () => {} } = options
  const chosen = comparedSizes.filter(({ name }) => sizes?.includes(name) ?? true)
  if (!foreign.available) {
    const gone = kinds.filter((kind) => kind.startsWith('llama.cpp') || kind === 'target-bpw-style')
    if (gone.length > 0) say(`${gone.join(' and ')} are left out: ${foreign.name}`)
  }
  for await (const lab of labs(options)) {
    const jobs = chosen.map((size, index) => async () => {
      const mixtureShown = chosen.slice(0, index).some(({ mixture }) => mixture === size.mixture)
      const rivals = await rivalsAt(lab, size, mixtureShown ? kinds.filter((kind) => kind !== 'unsloth-style') : kinds, say)
      const rows: QualityRow[] = []
      for (const rival of sharingBudgets(rivals)) rows.push(...(await compare(lab, rival)))
      return rows
    })
    for await (const rows of inOrder(jobs, sizesAtOnce)) yield* rows
  }
}

/** The same rivals, each with the least budget of all that are about its own. */
function sharingBudgets(rivals: readonly Rival[]): Rival[] {
  return rivals.map((rival) => {
    const alikeKnown = rivals.filter(({ known }) => known === rival.known)
    const near = alikeKnown.map(({ budget }) => budget).filter(({ bytes }) => Math.abs(bytes / rival.budget.bytes - 1) < alike)
    const dataBytes = Math.min(...near.map((budget) => budget.dataBytes))
    return { ...rival, budget: { dataBytes, bytes: Math.min(...near.map(({ bytes }) => bytes)) } }
  })
}

/** The models one after the other, each in a folder that is gone afterwards. */
export async function* labs({ subjects, chunks, cache }: QualityOptions): AsyncGenerator<QualityLab> {
  const kept = cache === undefined ? undefined : await openCache(cache)
  for (const subject of subjects ?? (await Promise.all(sampleNames.map((name) => sampleSubject(name))))) {
    const folder = await mkdtemp(join(tmpdir(), 'mq-quality-'))
    try {
      await using lab = await openLab({ subject, chunks, cache: kept, folder })
      yield lab
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function rivalsAt(
  lab: QualityLab,
  size: ComparedSize,
  kinds: readonly RivalKind[],
  say: (line: string) => void,
): Promise<Rival[]> {
  const found: Rival[] = []
  const at = presetAt(lab.blueprint, size)
  if (at !== undefined) {
    const { preset, dataBytes } = at
    const title = size.bits === undefined ? preset : `${preset} at ${size.name} bits`
    if (kinds.includes('llama.cpp-preset') && foreign.available) {
      found.push(rivalOf(`llama.cpp-preset ${title}`, await lab.theirs(preset), dataBytes))
    }
    if (kinds.includes('llama.cpp-without-imatrix') && foreign.available) {
      // It refuses most types of two bits.
      const file = await lab.theirs(preset, 'nothing').catch((error: { stderr?: unknown; message?: string }) => {
        if (/importance matrix/i.test(`${String(error.stderr)} ${error.message}`)) return undefined
        throw error
      })
      if (file === undefined) say(`llama-quantize does not make ${preset} without an importance matrix.`)
      else found.push({ ...rivalOf(`llama.cpp-without-imatrix ${title}`, file, dataBytes), known: 'nothing' })
    }
    if (kinds.includes('our-kernels-preset')) {
      const file = await lab.made(preset, { kind: 'preset', preset }, 'importance')
      found.push(rivalOf(`our-kernels-preset ${title}`, file, dataBytes))
    }
    if (kinds.includes('target-bpw-style') && foreign.available) {
      found.push(rivalOf(`target-bpw-style ${size.name}`, await lab.targetBpw(dataBytes)))
    }
  }
  if (kinds.includes('unsloth-style')) {
    const mixture = await readMixture(size.mixture)
    const file = await lab.made(size.mixture, { kind: 'mixture', mixture }, 'importance')
    found.push(rivalOf(`unsloth-style ${size.mixture.replace('unsloth-style-', '')}`, file))
  }
  return found
}

function rivalOf(name: string, file: QualityFile, dataBytes = file.dataBytes): Rival {
  return { name, file, budget: { dataBytes: Math.min(dataBytes, file.dataBytes), bytes: file.bytes }, known: 'calibration' }
}

async function compare(lab: QualityLab, { name, file, budget, known }: Rival): Promise<QualityRow[]> {
  const ours = await lab.fitted(budget, known)
  const [rivalPredictions, predictions] = [await lab.predictions(file), await lab.predictions(ours)]
  return [...predictions].flatMap(([text, { kld, kld99, sameTop, perplexity }]) => {
    const rival = rivalPredictions.get(text)
    if (rival === undefined) return []
    return {
      sample: lab.sample,
      text,
      rival: name,
      rivalBytes: file.bytes,
      bytes: ours.bytes,
      bitsPerWeight: ours.bitsPerWeight,
      kld: kld.value,
      kldError: kld.standardError,
      rivalKld: rival.kld.value,
      rivalKldError: rival.kld.standardError,
      kld99,
      rivalKld99: rival.kld99,
      sameTop,
      rivalSameTop: rival.sameTop,
      ppl: perplexity.value,
      rivalPpl: rival.perplexity.value,
    }
  })
}
