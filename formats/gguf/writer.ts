import { alignUp } from '../align-up.js'
import { appendTensorData, type TensorData } from '../tensor-data.js'
import { writeWholeFile } from '../whole-file.js'
import { type GgufLayout, type GgufTensorShape, layoutGguf } from './layout.js'
import type { Metadata } from './types.js'

/** A tensor to be written, with its blocks in ggml's own layout. */
export interface GgufInput extends GgufTensorShape {
  readonly data: TensorData
}

/**
 * Writes a GGUF file front to back; data that comes in pieces is never held whole. The name appears when the file is whole.
 * @throws FormatError as layoutGguf does; RangeError where a tensor's data is not as long as its type and dimensions say.
 */
export async function writeGguf(
  path: string,
  metadata: Metadata,
  tensors: readonly GgufInput[],
  options: { readonly alignment?: number } = {},
): Promise<GgufLayout> {
  const layout = layoutGguf(metadata, tensors, options)
  await writeWholeFile(path, async (append) => {
    await append(layout.header)
    for (const [index, { name, data }] of tensors.entries()) {
      const { sizeBytes } = layout.tensors[index] as { sizeBytes: number }
      await appendTensorData(append, name, data, sizeBytes)
      await append(new Uint8Array(alignUp(sizeBytes, layout.alignment) - sizeBytes))
    }
  })
  return layout
}
