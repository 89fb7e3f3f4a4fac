import { fileSource } from '../../../formats/byte-source.js'
import { decodeRow, type LogitsHeader, readLogitsHeader, readLogitsRows, scoredOfChunk } from '../../../formats/logits/index.js'
import { MqError } from '../../errors/index.js'
import type { CompareLogitsRequest, LogitsComparison, PerplexityStep } from '../protocol.js'
import { compareRows } from './compare-rows.js'
import { type LoadedModel, tokenize } from './model.js'
import { aNumber, type ScoredRows, scoreChunks, within } from './perplexity.js'

/** Rows that are read together: 16 MB of a vocabulary of 128 k. */
const rowsTogether = 64

/**
 * Runs the chunks of a file of base logits through the model and compares every scored position.
 * @throws MqError REFERENCE_MISMATCH where the model does not split the text as the file has it; FormatError LOGITS_INVALID.
 */
export async function* compareLogits(
  model: LoadedModel,
  request: CompareLogitsRequest,
): AsyncGenerator<PerplexityStep, LogitsComparison, void> {
  const source = await fileSource(request.path)
  try {
    const header = await readLogitsHeader(source)
    if (!isOf(header, model, request.text)) {
      throw MqError.of('REFERENCE_MISMATCH', { file: model.options.path, reference: request.name })
    }
    const { contextLength, vocabulary, tokens } = header
    const { first, count } = within(request.range, Math.min(header.chunks, request.chunks ?? header.chunks))
    const firstRow = first * scoredOfChunk(contextLength)
    const comparison = emptyComparison(contextLength, count)
    const score = async ({ logits, targets, index }: ScoredRows): Promise<void> => {
      for (let start = 0; start < targets.length; start += rowsTogether) {
        const rows = await readLogitsRows(
          source,
          header,
          firstRow + index + start,
          Math.min(rowsTogether, targets.length - start),
        )
        for (const [row, stored] of rows.entries()) {
          const at = start + row
          const rowLogits = logits.subarray(at * vocabulary, (at + 1) * vocabulary)
          const compared = compareRows(rowLogits, decodeRow(stored, vocabulary), targets[at] as number)
          comparison.negativeLogLikelihoods[index + at] = aNumber(compared.negativeLogLikelihood)
          comparison.baseNegativeLogLikelihoods[index + at] = compared.baseNegativeLogLikelihood
          comparison.divergences[index + at] = compared.divergence
          comparison.probabilityChanges[index + at] = compared.probabilityChange
          comparison.sameTop[index + at] = compared.sameTop ? 1 : 0
        }
      }
    }
    for await (const chunksDone of scoreChunks(model, { tokens, contextLength, first, count }, score))
      yield { chunksDone, chunks: count }
    return comparison
  } finally {
    await source.close()
  }
}

/** Returns whether the file was made from the beginning of this text with this model's vocabulary. */
function isOf({ vocabulary, tokens }: LogitsHeader, model: LoadedModel, text: string): boolean {
  if (vocabulary !== model.info.vocabulary) return false
  const own = tokenize(model, { text, special: true, parseSpecial: false })
  return tokens.length <= own.length && tokens.every((token, index) => token === own[index])
}

function emptyComparison(contextLength: number, chunks: number): LogitsComparison {
  const count = chunks * scoredOfChunk(contextLength)
  return {
    contextLength,
    chunks,
    negativeLogLikelihoods: new Float64Array(count),
    baseNegativeLogLikelihoods: new Float64Array(count),
    divergences: new Float64Array(count),
    probabilityChanges: new Float32Array(count),
    sameTop: new Uint8Array(count),
  }
}
