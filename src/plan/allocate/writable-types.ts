import { kernelTypes } from '../../../formats/ggml/codec.js'
import type { Writable } from './candidates.js'

/** Which types this build has kernels to write. */
export async function writableTypes(): Promise<Writable> {
  const { canQuantize } = await kernelTypes()
  return canQuantize
}
