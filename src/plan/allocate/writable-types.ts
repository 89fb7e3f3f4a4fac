import { openCodec } from '../../../formats/ggml/codec.js'
import type { Writable } from './candidates.js'

/** Which types this build has kernels to write. */
export async function writableTypes(): Promise<Writable> {
  const codec = await openCodec()
  return (type) => codec.canQuantize(type)
}
