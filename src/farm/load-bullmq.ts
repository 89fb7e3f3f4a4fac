import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type * as bullmq from './bullmq.js'

export type BullMq = typeof bullmq

/** Loads the queue's client: a megabyte that only the farm needs. */
export async function loadBullMq(): Promise<BullMq> {
  // A native decoder that it would use if it were there: nothing here is large enough to need one.
  process.env['MSGPACKR_NATIVE_ACCELERATION_DISABLED'] ??= 'true'
  return (await import(pathToFileURL(createRequire(import.meta.url).resolve('#bullmq')).href)) as BullMq
}
