import { awq } from './awq.js'
import { bitsandbytes } from './bitsandbytes.js'
import { compressedTensors } from './compressed-tensors.js'
import { deepseekV4 } from './deepseek-v4.js'
import { fp8 } from './fp8.js'
import { gptq } from './gptq.js'
import { mistralFp8 } from './mistral-fp8.js'
import { mxfp4 } from './mxfp4.js'
import { plain } from './plain.js'
import type { Storage, StorageContext, StorageKind } from './types.js'
import { unknownStorage, unsupported } from './unsupported.js'

export type { Storage, StorageContext, StoredTensor, StoredTensors } from './types.js'

/** Every way in which weights are kept; the first that recognises a checkpoint reads it. */
const storages: readonly StorageKind[] = [
  deepseekV4,
  fp8,
  mistralFp8,
  compressedTensors,
  gptq,
  awq,
  bitsandbytes,
  mxfp4,
  unsupported,
  plain,
]

/**
 * The model's tensors of a checkpoint.
 * @throws MqError STORAGE_UNSUPPORTED, naming the storage and what to do.
 */
export async function openStorage(context: StorageContext): Promise<Storage> {
  for (const kind of storages) {
    const storage = await kind.open(context)
    if (storage !== undefined) return storage
  }
  throw unknownStorage(context)
}
