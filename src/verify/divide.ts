import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import {
  createLogitsFile,
  type LogitsHeader,
  readLogitsHeader,
  readLogitsRows,
  scoredOfChunk,
} from '../../formats/logits/index.js'
import { rangesOf } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import { readText } from '../files/index.js'
import type { WithProgress } from '../progress/index.js'
import { type ChunkRange, type LogitsComparison, loadModel } from '../runner/index.js'
import { type KeepReferenceOptions, keptReferenceFiles, likelihoodBytes, likelihoodsOf } from './kept-reference.js'

/** Tokens that llama.cpp decodes at a time while logits are compared: the default of LoadOptions. */
const batchTokens = 2048

/**
 * Groups of chunks that can be run through a model by themselves: whole batches, so that each chunk is decoded together with the same others
 * as where all are run at once, and every figure is the same.
 * @param count chunks of the text. @param batches of a group.
 */
export function batchGroups(count: number, contextLength: number, batches: number): ChunkRange[] {
  return rangesOf(count, batches * Math.max(1, Math.floor(batchTokens / contextLength)))
}

/** The chunks that measurements against a kept reference are made on. @param folder of keepReference. @throws FormatError LOGITS_INVALID. */
export async function chunksOfReference(folder: string): Promise<Pick<LogitsHeader, 'chunks' | 'contextLength'>> {
  const source = await fileSource(join(folder, keptReferenceFiles[0]))
  try {
    const { chunks, contextLength } = await readLogitsHeader(source)
    return { chunks, contextLength }
  } finally {
    await source.close()
  }
}

/** How a model is run over some chunks: as `measureKept` runs it over all. */
export type ChunksOptions = Pick<KeepReferenceOptions, 'contextLength' | 'chunks' | 'load' | 'threads' | 'signal'> & {
  readonly range: ChunkRange
}

/** The one file of compareChunks. */
export const comparisonName = 'comparison.bin'

/**
 * Compares a model with a kept reference on some chunks and writes the figures of their tokens, little-endian: -ln p, that of the reference,
 * divergence (f64 each), change of probability (f32), same top token (u8), one array after the other.
 * @throws MqError as measureKept does.
 */
export async function* compareChunks(
  reference: string,
  model: string,
  text: string,
  folder: string,
  { range, contextLength, chunks, load = loadModel, threads, signal }: ChunksOptions,
): WithProgress<void> {
  const { content } = await readText(text, { chunks, contextLength })
  await using loaded = await load(model, { threads, signal })
  const compared = yield* loaded.compareLogits(join(reference, keptReferenceFiles[0]), content, { chunks, range })
  await writeFile(join(folder, comparisonName), Buffer.concat(arraysOf(compared).map(bytesOf)))
}

/** Joins what compareChunks wrote of all groups, in their order. @throws MqError REPORT_INVALID where a file has another size. */
export async function joinComparisons(
  paths: readonly string[],
  { chunks, contextLength }: Pick<LogitsHeader, 'chunks' | 'contextLength'>,
): Promise<LogitsComparison> {
  const count = chunks * scoredOfChunk(contextLength)
  const joined: LogitsComparison = {
    chunks,
    contextLength,
    negativeLogLikelihoods: new Float64Array(count),
    baseNegativeLogLikelihoods: new Float64Array(count),
    divergences: new Float64Array(count),
    probabilityChanges: new Float32Array(count),
    sameTop: new Uint8Array(count),
  }
  const arrays = arraysOf(joined)
  const tokenBytes = arrays.reduce((sum, { BYTES_PER_ELEMENT }) => sum + BYTES_PER_ELEMENT, 0)
  let first = 0
  for (const path of paths) {
    const bytes = await readFile(path)
    const tokens = bytes.length / tokenBytes
    if (!Number.isInteger(tokens) || first + tokens > count) throw wrongSize(path)
    let position = 0
    for (const array of arrays) {
      const length = tokens * array.BYTES_PER_ELEMENT
      bytesOf(array).set(bytes.subarray(position, position + length), first * array.BYTES_PER_ELEMENT)
      position += length
    }
    first += tokens
  }
  if (first !== count) throw wrongSize(paths.at(-1) ?? '')
  return joined
}

type FigureArray = Float64Array | Float32Array | Uint8Array

function arraysOf(comparison: LogitsComparison): FigureArray[] {
  const { negativeLogLikelihoods, baseNegativeLogLikelihoods, divergences, probabilityChanges, sameTop } = comparison
  return [negativeLogLikelihoods, baseNegativeLogLikelihoods, divergences, probabilityChanges, sameTop]
}

function bytesOf({ buffer, byteOffset, byteLength }: FigureArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function wrongSize(name: string): MqError {
  return MqError.of('REPORT_INVALID', { file: name, problem: 'it has figures of another number of tokens' })
}

/** Bytes of logits that are copied at a time. */
const copiedBytes = 2 ** 26

/** Joins the folders that keepReference wrote of all groups, in their order, to that of the whole text. @throws FormatError LOGITS_INVALID. */
export async function joinReferences(folders: readonly string[], folder: string): Promise<void> {
  const [logitsName, likelihoodsName, describedName] = keptReferenceFiles
  const sources: ByteSource[] = []
  try {
    const headers: LogitsHeader[] = []
    for (const part of folders) {
      const source = await fileSource(join(part, logitsName))
      sources.push(source)
      headers.push(await readLogitsHeader(source))
    }
    const [{ contextLength, vocabulary }] = headers as [LogitsHeader]
    const chunks = headers.reduce((sum, header) => sum + header.chunks, 0)
    const tokens = new Int32Array(chunks * contextLength)
    let at = 0
    for (const header of headers) {
      tokens.set(header.tokens, at)
      at += header.tokens.length
    }
    const file = await createLogitsFile(join(folder, logitsName), { contextLength, vocabulary, chunks, tokens })
    try {
      let row = 0
      for (const [index, header] of headers.entries()) {
        const rows = header.chunks * scoredOfChunk(contextLength)
        const together = Math.max(1, Math.floor(copiedBytes / (2 * vocabulary)))
        for (let start = 0; start < rows; start += together) {
          const own = await readLogitsRows(sources[index] as ByteSource, header, start, Math.min(together, rows - start))
          for (const one of own) {
            await file.writeRows(row, one)
            row += 1
          }
        }
      }
      await file.finish()
    } finally {
      await file.discard()
    }
  } finally {
    for (const source of sources) await source.close()
  }
  const likelihoods = await Promise.all(folders.map((part) => likelihoodsOf(part)))
  await writeFile(join(folder, likelihoodsName), Buffer.concat(likelihoods.map(likelihoodBytes)))
  await writeFile(join(folder, describedName), await readFile(join(folders[0] ?? '', describedName)))
}
