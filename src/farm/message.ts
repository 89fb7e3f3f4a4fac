import * as v from 'valibot'
import { unitKinds } from '../build/index.js'

/** Message for a unit in the queue: digests only. The unit itself is a file of the work folder (unit-file.ts). */
export const orderSchema = v.object({
  key: v.string(),
  kind: v.picklist(unitKinds),
  /** The work folder: its path on the build's machine, and the name that identifies it. */
  folder: v.string(),
  work: v.string(),
  /** Name of the worker whose result a second computation is compared with. */
  check: v.optional(v.string()),
})
export type Order = v.InferOutput<typeof orderSchema>

/** Reply of a worker: the digests of a result in the work folder. */
export const deliverySchema = v.object({
  worker: v.string(),
  seconds: v.number(),
  files: v.pipe(v.array(v.object({ name: v.string(), sizeBytes: v.number(), sha256: v.string() })), v.readonly()),
})
export type Delivery = v.InferOutput<typeof deliverySchema>

export const progressSchema = v.looseObject({
  stage: v.string(),
  done: v.number(),
  total: v.number(),
  unit: v.picklist(['bytes', 'tensors', 'chunks', 'tokens', 'files', 'runs', 'steps']),
  item: v.optional(v.string()),
})

/** Returns the job id of an order: the same for every run of a build in this folder. */
export function orderId({ key, work, check }: Order): string {
  return `${key.slice(0, 24)}-${work}${check === undefined ? '' : '-check'}`
}
