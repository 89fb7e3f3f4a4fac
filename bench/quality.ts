import { copyFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openGguf } from '../formats/gguf/index.js'
import type { Blueprint } from '../src/blueprint.js'
import { makeBlueprint } from '../src/convert/index.js'
import { makePlan, type PlanRequest } from '../src/make-plan.js'
import { finish } from '../src/progress.js'
import { quantize } from '../src/quantize/index.js'
import { loadModel } from '../src/runner/index.js'
import { divergenceOf, type Estimate, perplexityOf, perplexityRatio } from '../src/verify/index.js'
import { foreign } from './foreign.js'

/** One file of one sample, and how well it predicts one text. */
export interface QualityMeasurement {
  readonly sample: string
  readonly maker: 'mq' | 'llama-quantize'
  /** What was asked for. */
  readonly recipe: string
  readonly bitsPerWeight: number
  readonly fileBytes: number
  readonly text: string
  readonly perplexity: Estimate
  /** Against the reference on the same tokens: 1 is as good. */
  readonly ratio: Estimate
  /** Mean KL divergence from the reference: 0 is the same. */
  readonly kld: Estimate
}

const samples = ['llama-kjv', 'deepseek-kjv-moe'] as const
const texts = ['kjv-heldout', 'jargon-heldout'] as const

/** The first is what all others are held against. */
const ours: readonly { readonly recipe: string; readonly request: PlanRequest }[] = [
  { recipe: 'bf16', request: { type: 'BF16' } },
  { recipe: 'q8_0', request: { preset: 'Q8_0' } },
  { recipe: '--preset Q4_K_M', request: { preset: 'Q4_K_M' } },
  { recipe: '--preset Q2_K', request: { preset: 'Q2_K' } },
  { recipe: '--bits 4.5', request: { bits: 4.5 } },
  { recipe: '--bits 2.51', request: { bits: 2.51 } },
]

/** llama-quantize's presets of the same sizes, and whether they get a matrix of llama-imatrix. */
const theirs = [
  { preset: 'Q4_K_M', importance: false },
  { preset: 'Q2_K', importance: false },
  { preset: 'IQ2_XXS', importance: true },
] as const

/**
 * Quantizes both samples in several ways and measures perplexity on all of both held-out texts, with llama.cpp. llama-quantize makes its
 * files from our bf16 GGUF, where the foreign programs are installed.
 * @param say told what is left out, and what is being done.
 */
export async function* benchQuality(say: (line: string) => void): AsyncGenerator<QualityMeasurement> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-quality-'))
  if (!foreign.available) say(`llama-quantize is left out: ${foreign.name}`)
  try {
    for (const sample of samples) {
      const blueprint = await makeBlueprint(repositoryPath(`samples/${sample}`))
      const references = new Map<string, Float64Array>()
      for await (const { path, maker, recipe } of makeFiles(blueprint, folder, sample)) {
        const { bitsPerWeight, fileBytes } = await sizeOf(path)
        await using model = await loadModel(path)
        for (const name of texts) {
          const text = await readFile(repositoryPath(`samples/text/${name}.txt`), 'utf8')
          const base = join(folder, `${name}.logits`)
          const known = references.get(name)
          const reference = known ?? (await finish(model.saveLogits(base, text))).negativeLogLikelihoods
          references.set(name, reference)
          const compared = await finish(model.compareLogits(base, text))
          const perplexity = perplexityOf(compared.negativeLogLikelihoods)
          const ratio = perplexityRatio(compared.negativeLogLikelihoods, reference)
          const kld = divergenceOf(compared).kld.mean
          yield { sample, maker, recipe, bitsPerWeight, fileBytes, text: name, perplexity, ratio, kld }
        }
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface MadeFile extends Pick<QualityMeasurement, 'maker' | 'recipe'> {
  readonly path: string
}

async function* makeFiles(blueprint: Blueprint, folder: string, sample: string): AsyncGenerator<MadeFile> {
  for (const [index, { recipe, request }] of ours.entries()) {
    const path = join(folder, `${sample}-${index}.gguf`)
    const plan = await finish(makePlan(blueprint, request))
    await finish(quantize({ blueprint, plan, output: path }))
    yield { path, maker: 'mq', recipe }
  }
  if (!foreign.available) return
  const run = (command: string, args: readonly string[]): Promise<unknown> =>
    foreign.run(command, args, { cwd: folder, timeout: 300_000 })
  const reference = `${sample}-0.gguf`
  const matrix = `${sample}.imatrix.gguf`
  for (const { preset, importance } of theirs) {
    const output = `${sample}-their-${preset}.gguf`
    if (importance) {
      await copyFile(repositoryPath('samples/text/kjv-calibration.txt'), join(folder, 'calibration.txt'))
      await run('llama-imatrix', ['--no-repack', '-m', reference, '-f', 'calibration.txt', '-c', '512', '-o', matrix])
    }
    await run('llama-quantize', [...(importance ? ['--imatrix', matrix] : []), reference, output, preset])
    yield { path: join(folder, output), maker: 'llama-quantize', recipe: importance ? `${preset} with llama-imatrix` : preset }
  }
}

async function sizeOf(path: string): Promise<Pick<QualityMeasurement, 'bitsPerWeight' | 'fileBytes'>> {
  const gguf = await openGguf(path)
  await gguf.close()
  const { tensors } = gguf
  const bytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const elements = tensors.reduce((sum, { dimensions }) => sum + dimensions.reduce((product, size) => product * size, 1), 0)
  return { bitsPerWeight: (8 * bytes) / elements, fileBytes: (await stat(path)).size }
}

/** A path of the repository, from the sources as from dist/. */
function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`${import.meta.url.includes('/dist/') ? '../../' : '../'}${path}`, import.meta.url))
}
