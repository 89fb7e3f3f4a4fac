import type { Append } from './whole-file.js'

/** What a tensor holds when it is written: all its bytes, or pieces of them in order. */
export type TensorData = Uint8Array | AsyncIterable<Uint8Array>

/**
 * Appends a tensor's bytes.
 * @throws RangeError where they are not exactly `sizeBytes`.
 */
export async function appendTensorData(append: Append, name: string, data: TensorData, sizeBytes: number): Promise<void> {
  let written = 0
  for await (const piece of data instanceof Uint8Array ? [data] : data) {
    written += piece.byteLength
    if (written > sizeBytes) break
    await append(piece)
  }
  if (written !== sizeBytes) throw new RangeError(`${name} gives ${written} bytes where its type and shape need ${sizeBytes}`)
}
