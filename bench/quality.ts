import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readNamedRecipe } from '../src/allocate/index.js'
import { foreign } from './foreign.js'
import { openCache } from './quality-cache.js'
import { openLab, type QualityFile, type QualityLab, sampleNames, type TextName, textNames } from './quality-lab.js'
import { type ComparedSize, comparedSizes, presetAt } from './quality-sizes.js'

export const rivalKinds = ['llama.cpp-preset', 'our-kernels-preset', 'unsloth-style'] as const
export type RivalKind = (typeof rivalKinds)[number]

/** One of our files against a rival's of at least as many bytes, on one text. */
export interface QualityRow {
  readonly sample: string
  readonly text: TextName
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
  readonly ppl: number
  readonly rivalPpl: number
}

export interface QualityOptions {
  readonly samples?: readonly string[]
  readonly texts?: readonly TextName[]
  /** Names of comparedSizes. */
  readonly sizes?: readonly string[]
  readonly rivals?: readonly RivalKind[]
  /** Most chunks of each text; by default 60 of kjv-heldout, and all of the others. */
  readonly chunks?: number | undefined
  /** Most chunks of the calibration text; by default all. */
  readonly calibrationChunks?: number | undefined
  /** Folder in which measurements are kept for the next run. */
  readonly cache?: string | undefined
  /** Told what is left out. */
  readonly say?: (line: string) => void
}

/** A file to beat, and the most that ours may have. */
interface Rival {
  readonly name: string
  readonly file: QualityFile
  readonly budget: { readonly dataBytes: number; readonly bytes: number }
}

/**
 * Holds `mq quantize --bits` against rivals of the same bytes: llama-quantize's presets, the same with our kernels, and mixes of
 * Unsloth's kind with our kernels. All use one calibration of a text that is in neither of the texts measured on.
 */
export async function* benchQuality(options: QualityOptions = {}): AsyncGenerator<QualityRow> {
  const { rivals: kinds = rivalKinds, sizes, say = () => {} } = options
  const chosen = comparedSizes.filter(({ name }) => sizes?.includes(name) ?? true)
  if (kinds.includes('llama.cpp-preset') && !foreign.available) say(`llama.cpp-preset is left out: ${foreign.name}`)
  for await (const lab of labs(options)) {
    const shown = new Set<string>()
    for (const size of chosen) {
      for await (const rival of rivalsAt(lab, size, kinds)) {
        if (shown.has(rival.name)) continue
        shown.add(rival.name)
        yield* compare(lab, rival)
      }
    }
  }
}

/** The samples one after the other, each in a folder that is gone afterwards. */
export async function* labs({
  samples = sampleNames,
  texts = textNames,
  chunks,
  calibrationChunks,
  cache,
}: QualityOptions): AsyncGenerator<QualityLab> {
  const kept = cache === undefined ? undefined : await openCache(cache)
  for (const sample of samples) {
    const folder = await mkdtemp(join(tmpdir(), 'mq-quality-'))
    try {
      await using lab = await openLab({ sample, texts, chunks, calibrationChunks, cache: kept, folder })
      yield lab
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function* rivalsAt(lab: QualityLab, size: ComparedSize, kinds: readonly RivalKind[]): AsyncGenerator<Rival> {
  const at = presetAt(lab.blueprint, size)
  if (at !== undefined) {
    const title = size.bits === undefined ? at.preset : `${at.preset} at ${size.name} bits`
    if (kinds.includes('llama.cpp-preset') && foreign.available) {
      yield rivalOf(`llama.cpp-preset ${title}`, await lab.theirs(at.preset), at.dataBytes)
    }
    if (kinds.includes('our-kernels-preset')) {
      const file = await lab.made(at.preset, { preset: at.preset }, { feedback: false })
      yield rivalOf(`our-kernels-preset ${title}`, file, at.dataBytes)
    }
  }
  if (kinds.includes('unsloth-style')) {
    const recipe = await readNamedRecipe(size.recipe)
    const file = await lab.made(size.recipe, { recipe }, { feedback: false })
    yield rivalOf(`unsloth-style ${size.recipe.replace('unsloth-style-', '')}`, file)
  }
}

function rivalOf(name: string, file: QualityFile, dataBytes = file.dataBytes): Rival {
  return { name, file, budget: { dataBytes: Math.min(dataBytes, file.dataBytes), bytes: file.bytes } }
}

async function* compare(lab: QualityLab, { name, file, budget }: Rival): AsyncGenerator<QualityRow> {
  const ours = await lab.fitted(budget, { feedback: true })
  const [rivalPredictions, predictions] = [await lab.predictions(file), await lab.predictions(ours)]
  for (const [text, { kld, perplexity }] of predictions) {
    const rival = rivalPredictions.get(text)
    if (rival === undefined) continue
    yield {
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
      ppl: perplexity.value,
      rivalPpl: rival.perplexity.value,
    }
  }
}
