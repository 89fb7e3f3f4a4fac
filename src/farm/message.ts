import * as v from 'valibot'
import { unitKinds } from '../build/index.js'

/** What goes through the broker for a unit: digests alone. The unit itself is a file of the work folder (unit-file.ts). */
export const orderSchema = v.object({
  key: v.string(),
  kind: v.picklist(unitKinds),
  /** The work folder: where the build has it, and what tells it from another at the same place. */
  folder: v.string(),
  work: v.string(),
  /** Computes it once more, to hold the bytes against those of this worker. */
  check: v.optional(v.string()),
})
export type Order = v.InferOutput<typeof orderSchema>

/** What a worker says of a result, which is in the work folder. */
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

/** The name of an order in the queue: the same for every run of a build in this folder. */
export function orderId({ key, work, check }: Order): string {
  return `${key.slice(0, 24)}-${work}${check === undefined ? '' : '-check'}`
}
