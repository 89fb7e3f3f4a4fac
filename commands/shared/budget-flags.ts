import { Flags, type Interfaces } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import { cacheTypes, type RunOptions } from '../../src/footprint/index.js'
import { type BudgetRequest } from '../../src/plan/index.js'
import { parsePositive, parseSize } from './quantities.js'

/** The run that memory is estimated for: what the model needs besides its weights. */
export const runFlags = {
  ctx: Flags.integer({
    char: 'c',
    min: 1,
    max: 2 ** 27,
    helpValue: 'N',
    description: 'Context length for the memory estimate, in tokens. [default: 8192]',
  }),
  'cache-type': Flags.option({
    helpValue: 'f16|q8_0|q4_0',
    options: cacheTypes.map((type) => type.toLowerCase()),
    default: 'f16',
    description: 'Type of the KV cache for the memory estimate.',
  })(),
}

const otherGoals = ['size', 'fit', 'preset', 'mixture', 'type'] as const

/** The goals after this one: its flag excludes them, so that a conflict is reported once. `bits` uses exactlyOne instead. */
export function laterGoals(name: (typeof otherGoals)[number]): string[] {
  return otherGoals.slice(otherGoals.indexOf(name) + 1)
}

/** Budgets for bit allocation, and constraints on it. */
export const budgetFlags = {
  bits: Flags.string({
    helpValue: 'N',
    description: 'Budget: average bits per weight over all tensors, never exceeded, such as 2.51. [default: none]',
  }),
  size: Flags.string({
    exclusive: laterGoals('size'),
    helpValue: 'SIZE',
    description:
      'Budget: size of the GGUF file, or of all shards together, never exceeded. 212GB is in powers of 1000, 200GiB in powers of 1024. [default: none]',
  }),
  fit: Flags.string({
    exclusive: laterGoals('fit'),
    helpValue: 'SIZE',
    description:
      'Budget: memory of the running model (weights, KV cache at --ctx, compute buffers), never exceeded, such as 24GiB. [default: none]',
  }),
  ...runFlags,
  floor: Flags.string({
    multiple: true,
    helpValue: 'ROLE=TYPE',
    description:
      'Lowest type that a budget may choose for a role, or for the groups attention, dense, shared, experts. `mq plan --list` shows roles and types. [default: a lowest type for each role, see the list]',
  }),
  tie: Flags.string({
    multiple: true,
    helpValue: 'ROLE,ROLE',
    description: 'Roles that get the same type within a layer when a budget chooses, such as gate,up. [default: none]',
  }),
  candidate: Flags.string({
    multiple: true,
    helpValue: 'TYPE',
    description:
      'A further type that a budget may choose, where the runtime reads it: Q2_0 (blocks of 64 columns) and Q1_0 (128) are read by llama.cpp 0.5.0 and newer. [default: the types that `mq plan --list` marks]',
  }),
}

/** Names of the flags for budgets: at most one is given. */
export const budgets: readonly string[] = ['bits', 'size', 'fit']

const defaultContext = 8192

/** The run that memory is estimated for. */
export function runOptions(flags: Interfaces.InferredFlags<typeof runFlags>): RunOptions {
  const asked = flags['cache-type'].toUpperCase()
  const cacheType = cacheTypes.find((type) => type === asked) ?? 'F16'
  return { context: flags.ctx ?? defaultContext, cacheType }
}

/**
 * The budget that flags ask for; undefined where they ask for none.
 * @param command the one that was called, for messages.
 * @param splitMaxBytes where the file is to be split, which its size depends on.
 * @throws MqError FLAG_INVALID, FLAGS_CONFLICT.
 */
export function budgetOf(
  flags: Interfaces.InferredFlags<typeof budgetFlags>,
  command: string,
  splitMaxBytes?: number,
): BudgetRequest | undefined {
  const { bits, size, fit, floor: floors, tie: ties, candidate: candidates } = flags
  const bounds = { floors, ties, candidates }
  if (bits !== undefined) return { kind: 'bits', bits: parsePositive(bits, 'bits', command), ...bounds }
  if (size !== undefined) {
    return { kind: 'size', size: { bytes: parseSize(size, 'size', command), text: size }, splitMaxBytes, ...bounds }
  }
  if (fit !== undefined) {
    return { kind: 'fit', memory: { bytes: parseSize(fit, 'fit', command), text: fit }, run: runOptions(flags), ...bounds }
  }
  if (Object.values(bounds).every((bound) => bound === undefined)) return undefined
  const problem = '--floor, --tie and --candidate bound what a budget chooses: they need --bits, --size or --fit'
  throw MqError.of('FLAGS_CONFLICT', { problem, command })
}
