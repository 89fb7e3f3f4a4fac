import { dirname } from 'node:path'
import { createLogitsFile, encodeRow, logitsFileBytes, rowUnits, scoredOfChunk } from '../../../formats/logits/index.js'
import { checkSpace } from '../../files/index.js'
import type { PerplexityResult, PerplexityStep, SaveLogitsRequest } from '../protocol.js'
import type { LoadedModel } from './model.js'
import { aNumber, cutText, negativeLogLikelihood, type ScoredRows, scoreChunks } from './perplexity.js'

/** Rows that are encoded before they are written: 16 MB of a vocabulary of 128 k. */
const rowsTogether = 64

/** Measures perplexity, and writes the logits of every scored position to a file as it goes. @throws MqError DISK_FULL */
export async function* saveLogits(
  model: LoadedModel,
  request: SaveLogitsRequest,
): AsyncGenerator<PerplexityStep, PerplexityResult, void> {
  const chunks = cutText(model, request)
  const { contextLength, first, count } = chunks
  const { vocabulary } = model.info
  const header = {
    contextLength,
    vocabulary,
    chunks: count,
    tokens: chunks.tokens.slice(first * contextLength, (first + count) * contextLength),
  }
  await checkSpace(dirname(request.path), logitsFileBytes(header), request.path)
  const file = await createLogitsFile(request.path, header)
  const negativeLogLikelihoods = new Float64Array(count * scoredOfChunk(contextLength))
  const units = rowUnits(vocabulary)

  const score = async ({ logits, targets, index }: ScoredRows): Promise<void> => {
    const encoded = new Uint16Array(Math.min(rowsTogether, targets.length) * units)
    for (let start = 0; start < targets.length; start += rowsTogether) {
      const rows = Math.min(rowsTogether, targets.length - start)
      for (let row = 0; row < rows; row += 1) {
        const rowLogits = logits.subarray((start + row) * vocabulary, (start + row + 1) * vocabulary)
        encodeRow(rowLogits, encoded.subarray(row * units, (row + 1) * units))
        const target = targets[start + row] as number
        negativeLogLikelihoods[index + start + row] = aNumber(negativeLogLikelihood(rowLogits, target))
      }
      await file.writeRows(index + start, encoded.subarray(0, rows * units))
    }
  }
  try {
    for await (const chunksDone of scoreChunks(model, chunks, score)) yield { chunksDone, chunks: count }
    await file.finish()
  } finally {
    await file.discard()
  }
  return { tokens: chunks.tokens.length, chunks: count, negativeLogLikelihoods }
}
