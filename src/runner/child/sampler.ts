import { MqError } from '../../errors/index.js'
import type { Sampling } from '../protocol.js'
import type { Address } from './binding.js'
import type { LoadedModel } from './model.js'

/** Chooses tokens; free() it. */
export interface Sampler {
  /** The token after the batch's output `index`. @param largest index of the largest logit there. */
  sample(context: Address, index: number, largest: number): number
  free(): void
}

/**
 * llama.cpp's samplers in the order of llama-server: penalties, top-k, top-p, min-p, temperature, draw. Tokens of the prompt count as
 * having occurred.
 * @throws MqError OPTION_INVALID where llama.cpp does not read the grammar.
 */
export function samplerOf({ llama, vocab, info }: LoadedModel, sampling: Sampling, prompt: readonly number[]): Sampler {
  const { temperature, topK, topP, minP, seed, repeatPenalty, repeatLastN, frequencyPenalty, presencePenalty } = sampling
  const { grammar, logitBias = [] } = sampling
  const penalized = repeatLastN !== 0 && (repeatPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0)
  const isGreedy = temperature <= 0
  if (isGreedy && !penalized && grammar === undefined && logitBias.length === 0) {
    return { sample: (_context, _index, largest) => largest, free: () => {} }
  }
  const chain = llama.samplerChain(llama.samplerChainDefaultParams())
  const add = (sampler: Address): void => llama.samplerAdd(chain, sampler)
  if (logitBias.length > 0) add(llama.samplerLogitBias(info.vocabulary, logitBias.length, biasBytes(logitBias)))
  if (penalized) {
    const last = repeatLastN < 0 ? info.trainedContext : repeatLastN
    add(llama.samplerPenalties(info.vocabulary, last, repeatPenalty, frequencyPenalty, presencePenalty))
    for (const token of prompt.slice(-last)) llama.samplerAccept(chain, token)
  }
  // after the prompt, which is no part of it
  if (grammar !== undefined) {
    const sampler = llama.samplerGrammar(vocab, grammar, 'root')
    if (sampler === null) {
      llama.samplerFree(chain)
      throw MqError.of('OPTION_INVALID', { option: 'grammar', value: grammar.slice(0, 80), problem: 'llama.cpp cannot read it' })
    }
    add(sampler)
  }
  if (isGreedy) add(llama.samplerGreedy())
  else {
    add(llama.samplerTopK(topK))
    add(llama.samplerTopP(topP, 1))
    add(llama.samplerMinP(minP, 1))
    add(llama.samplerTemperature(temperature))
    add(llama.samplerDraw(seed))
  }
  return {
    sample: (context, index) => llama.samplerSample(chain, context, index),
    free: () => llama.samplerFree(chain),
  }
}

/** An array of llama_logit_bias: a 32-bit id and a 32-bit float each. */
function biasBytes(biases: NonNullable<Sampling['logitBias']>): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(8 * biases.length))
  for (const [index, [token, bias]] of biases.entries()) {
    bytes.setInt32(8 * index, token, true)
    bytes.setFloat32(8 * index + 4, bias, true)
  }
  return new Uint8Array(bytes.buffer)
}
