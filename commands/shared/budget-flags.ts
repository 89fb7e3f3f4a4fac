import { Flags, type Interfaces } from '@oclif/core'
import { type BudgetRequest, cacheTypes, type RunOptions } from '../../src/index.js'
import { parsePositive, parseSize } from './quantities.js'

/** How a model is to run, which says what memory it takes besides its weights. */
export const runFlags = {
  ctx: Flags.integer({ char: 'c', min: 1, max: 2 ** 27, description: 'Tokens of context to reckon with. [default: 8192]' }),
  'cache-type': Flags.option({
    options: cacheTypes.map((type) => type.toLowerCase()),
    default: 'f16',
    description: 'Type of the KV cache to reckon with.',
  })(),
}

/** Budgets, and what bounds their choice of types. */
export const budgetFlags = {
  bits: Flags.string({ char: 'b', description: 'Bits per weight of the whole, never exceeded.' }),
  size: Flags.string({
    description: 'Size of the file, or of all shards, never exceeded: 212GB, or 200GiB in powers of 1024.',
  }),
  fit: Flags.string({
    description: 'Memory that the running model may take: weights, KV cache at --ctx, and compute buffers. Such as 24GiB.',
  }),
  ...runFlags,
  floor: Flags.string({
    multiple: true,
    description: 'ROLE=TYPE: the least type that a budget may give to a role, or to attention, dense, shared, experts.',
  }),
  tie: Flags.string({
    multiple: true,
    description: 'ROLE,ROLE: roles that get one type within a layer, such as gate,up.',
  }),
}

/** Names of the budgets' flags: at most one is given. */
export const budgets: readonly string[] = ['bits', 'size', 'fit']

const defaultContext = 8192

/** How the model is to run. */
export function runOptions(flags: Interfaces.InferredFlags<typeof runFlags>): RunOptions {
  const asked = flags['cache-type'].toUpperCase()
  const cacheType = cacheTypes.find((type) => type === asked) ?? 'F16'
  return { context: flags.ctx ?? defaultContext, cacheType }
}

/**
 * The budget that flags ask for.
 * @param command the one that was called, for messages.
 * @throws MqError FLAG_INVALID.
 */
export function budgetOf(flags: Interfaces.InferredFlags<typeof budgetFlags>, command: string): BudgetRequest {
  const { bits, size, fit, floor: floors, tie: ties } = flags
  return {
    bits: bits === undefined ? undefined : parsePositive(bits, 'bits', command),
    size: size === undefined ? undefined : { bytes: parseSize(size, 'size', command), text: size },
    fit: fit === undefined ? undefined : { bytes: parseSize(fit, 'fit', command), text: fit, run: runOptions(flags) },
    floors,
    ties,
  }
}
