import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

export const sampleNames = ['llama-kjv', 'deepseek-kjv-moe'] as const
export const textNames = ['kjv-heldout', 'jargon-heldout'] as const

/** A text that models are measured on. */
export interface QualityText {
  readonly name: string
  readonly text: string
  /** Chunks that are measured where nothing else is asked for. */
  readonly chunks: number
}

/** A model, what it is calibrated on, and what it is measured on. */
export interface QualitySubject {
  readonly name: string
  /** A GGUF file of full precision, or a checkpoint folder. */
  readonly model: string
  readonly calibration: string
  /** Of the calibration text at most so many chunks are taken; by default all. */
  readonly calibrationChunks?: number | undefined
  readonly texts: readonly QualityText[]
}

/** Enough for divergences within some 2 %. */
const usualChunks: Readonly<Record<string, number>> = { 'kjv-heldout': 30, 'jargon-heldout': 20 }
/** Of other texts: each is some 255 scored tokens. */
const chunksOfOthers = 8

/** A sample of the repository; it is calibrated on kjv-calibration, which is in none of the texts. */
export async function sampleSubject(name: string, texts: readonly string[] = textNames): Promise<QualitySubject> {
  return {
    name,
    model: repositoryPath(`samples/${name}`),
    calibration: await sampleText('kjv-calibration'),
    texts: await Promise.all(
      texts.map(async (text) => ({ name: text, text: await sampleText(text), chunks: usualChunks[text] ?? chunksOfOthers })),
    ),
  }
}

/** Any model. @param texts `NAME=FILE`. @param calibration files of UTF-8 text, one after the other. */
export async function modelSubject(
  model: string,
  calibration: readonly string[],
  texts: readonly string[],
  calibrationChunks?: number,
): Promise<QualitySubject> {
  const parts = await Promise.all(calibration.map((path) => readFile(path, 'utf8')))
  return {
    name: basename(model).replace(/\.gguf$/, ''),
    model,
    calibration: parts.join('\n\n'),
    calibrationChunks,
    texts: await Promise.all(
      texts.map(async (spec) => {
        const [name = '', path] = spec.split(/=(.*)/)
        if (path === undefined) throw new Error(`--text ${spec} is not NAME=FILE`)
        return { name, text: await readFile(path, 'utf8'), chunks: chunksOfOthers }
      }),
    ),
  }
}

/** Names a calibration of a model, for a cache. @param modelDigest SHA-256 of its file. */
export function calibrationDigest({ calibration, calibrationChunks }: QualitySubject, modelDigest: string): string {
  return createHash('sha256').update(`${modelDigest} ${calibrationChunks} `).update(calibration).digest('hex')
}

async function sampleText(name: string): Promise<string> {
  return await readFile(repositoryPath(`samples/text/${name}.txt`), 'utf8')
}

/** A path of the repository, from the sources as from dist/. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`${import.meta.url.includes('/dist/') ? '../../' : '../'}${path}`, import.meta.url))
}
