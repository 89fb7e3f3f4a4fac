import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type * as bullmq from './bullmq.js'

export type BullMq = typeof bullmq

/** Loads BullMQ: one megabyte, which only the farm needs. */
export async function loadBullMq(): Promise<BullMq> {
  // BullMQ uses a native decoder if it is installed; messages here are too small to need one.
  process.env['MSGPACKR_NATIVE_ACCELERATION_DISABLED'] ??= 'true'
  return (await import(pathToFileURL(createRequire(import.meta.url).resolve('#bullmq')).href)) as BullMq
}
