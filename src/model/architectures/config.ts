import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import type { Checkpoint } from '../checkpoint/index.js'

// Bounds that every real model stays far below, so that a wrong config.json cannot ask for unbounded work.

/** Layers, heads and their length, experts, groups. */
export const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_536))
/** A number of things of which there may be none. */
export const countOrNone = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_536))
/** Rows and columns of matrices, context lengths, vocabularies. */
export const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1))
/** A number above 0, such as an epsilon, a base or a factor. */
export const positive = v.pipe(v.number(), v.finite(), v.gtValue(0))
export const finite = v.pipe(v.number(), v.finite())

/**
 * config.json in the form of a schema.
 * @throws MqError CONFIG_INVALID, naming the first field that is not as it should be.
 */
export function parseConfig<const Schema extends v.GenericSchema>(schema: Schema, checkpoint: Checkpoint): v.InferOutput<Schema> {
  const result = v.safeParse(schema, checkpoint.config)
  if (result.success) return result.output
  const [issue] = result.issues
  const field = v.getDotPath(issue)
  const received = JSON.stringify(issue.input)?.slice(0, 80) ?? 'missing'
  throw configError(checkpoint, field === null ? issue.message : `${field} is ${received} (${issue.message})`)
}

/** CONFIG_INVALID for this checkpoint. */
export function configError(checkpoint: Checkpoint, problem: string): MqError {
  return MqError.of('CONFIG_INVALID', { file: `${checkpoint.path}/config.json`, problem })
}
