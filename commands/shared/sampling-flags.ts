import { Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import type { GenerateOptions } from '../../src/runner/index.js'

/** Flags that say how tokens are chosen, and when to stop. */
export const samplingFlags = {
  'max-tokens': Flags.integer({
    char: 'n',
    min: 1,
    max: 2 ** 31 - 1,
    helpValue: 'N',
    description: 'Maximum number of tokens to generate. [default: until the model ends the text or the context is full]',
  }),
  temperature: Flags.string({
    aliases: ['temp'],
    helpValue: 'N',
    description: 'Sampling temperature, from 0 to 100; 0 is greedy decoding. [default: from the file, else 0.8]',
  }),
  'top-k': Flags.integer({
    min: 0,
    max: 2 ** 31 - 1,
    helpValue: 'N',
    description: 'Sample from the N most likely tokens; 0 for all. [default: from the file, else 40]',
  }),
  'top-p': Flags.string({
    helpValue: 'N',
    description:
      'Sample from the most likely tokens with this total probability, from 0 to 1. [default: from the file, else 0.95]',
  }),
  'min-p': Flags.string({
    helpValue: 'N',
    description: 'Sample from tokens at least N times as likely as the most likely one. [default: from the file, else 0.05]',
  }),
  'repeat-penalty': Flags.string({
    helpValue: 'N',
    description: 'Penalty on the last 64 tokens, from 0.01 to 100; 1 for none. [default: 1]',
  }),
  seed: Flags.integer({
    char: 's',
    min: 0,
    max: 2 ** 32 - 2,
    helpValue: 'N',
    description: 'Seed of the sampler: the same seed gives the same text. [default: random]',
  }),
}

interface Given {
  readonly 'max-tokens'?: number | undefined
  readonly temperature?: string | undefined
  readonly 'top-k'?: number | undefined
  readonly 'top-p'?: string | undefined
  readonly 'min-p'?: string | undefined
  readonly 'repeat-penalty'?: string | undefined
  readonly seed?: number | undefined
}

/** What the flags say. @throws MqError FLAG_INVALID */
export function samplingOf(flags: Given, command: string): GenerateOptions {
  const number = (flag: keyof Given, least: number, most: number): number | undefined => {
    const input = flags[flag]
    if (input === undefined) return undefined
    const value = String(input).trim() === '' ? Number.NaN : Number(input)
    if (value >= least && value <= most) return value
    throw MqError.of('FLAG_INVALID', { flag, value: input, problem: `it is not a number from ${least} to ${most}`, command })
  }
  return {
    maxTokens: flags['max-tokens'],
    temperature: number('temperature', 0, 100),
    topK: flags['top-k'],
    topP: number('top-p', 0, 1),
    minP: number('min-p', 0, 1),
    repeatPenalty: number('repeat-penalty', 0.01, 100),
    seed: flags.seed,
  }
}
