import { randomInt } from 'node:crypto'
import type { GenerateOptions } from './options.js'
import type { Generated, ModelInfo, Sampling } from './protocol.js'

/** A model that writes text: of the embedded llama.cpp, or of a llama-server. */
export interface TextModel extends AsyncDisposable {
  readonly path: string
  readonly info: Pick<ModelInfo, 'description' | 'chatTemplate'>
  /** Completes sampling parameters with the file's and llama.cpp's defaults, and a seed. */
  sampling(options: Partial<Sampling>): Sampling
  /** Text that the model writes, piece by piece. @throws MqError as LlamaModel.generate. */
  generate(options: GenerateOptions): AsyncGenerator<string, Generated, void>
}

/** Completes sampling parameters. @param recommended those of the file. */
export function completeSampling(options: Partial<Sampling>, recommended: ModelInfo['sampling']): Sampling {
  return {
    temperature: options.temperature ?? recommended.temperature ?? 0.8,
    topK: options.topK ?? recommended.topK ?? 40,
    topP: options.topP ?? recommended.topP ?? 0.95,
    minP: options.minP ?? recommended.minP ?? 0.05,
    repeatPenalty: options.repeatPenalty ?? 1,
    repeatLastN: options.repeatLastN ?? 64,
    frequencyPenalty: options.frequencyPenalty ?? 0,
    presencePenalty: options.presencePenalty ?? 0,
    seed: options.seed ?? randomInt(2 ** 32 - 1),
    ...(options.logitBias !== undefined && { logitBias: options.logitBias }),
    ...(options.grammar !== undefined && { grammar: options.grammar }),
  }
}
