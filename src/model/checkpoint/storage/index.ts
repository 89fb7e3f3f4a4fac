import { fp8 } from './fp8.js'
import { plain } from './plain.js'
import type { Storage, StorageContext, StorageKind } from './types.js'
import { unknownStorage, unsupported } from './unsupported.js'

export type { Storage, StoredTensor, StoredTensors } from './types.js'

/** Every way in which weights are kept; the first that recognises a checkpoint reads it. */
const storages: readonly StorageKind[] = [fp8, unsupported, plain]

/**
 * The model's tensors of a checkpoint.
 * @throws MqError STORAGE_UNSUPPORTED, naming the storage and what to do.
 */
export function openStorage(context: StorageContext): Storage {
  for (const kind of storages) {
    const storage = kind.open(context)
    if (storage !== undefined) return storage
  }
  throw unknownStorage(context)
}
