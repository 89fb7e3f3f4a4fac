import { type FileHandle, open } from 'node:fs/promises'
import { type SafetensorsInput, safetensorsHeader, tensorBytes } from '../formats/safetensors/index.js'

/** A tensor without its values. */
export type SparseTensor = Omit<SafetensorsInput, 'data'>

/**
 * Writes a safetensors file that is a hole but for its header.
 * @param fill writes what is no hole: it is told where each tensor begins in the file.
 */
export async function writeSparseSafetensors(
  path: string,
  tensors: readonly SparseTensor[],
  fill: (file: FileHandle, starts: readonly number[]) => Promise<void> = async () => {},
): Promise<void> {
  const sizes = tensors.map(({ dtype, shape }) => tensorBytes(dtype, shape) ?? 0)
  const header = safetensorsHeader(tensors, sizes)
  let end = header.length
  const starts = sizes.map((size) => {
    end += size
    return end - size
  })
  const file = await open(path, 'w')
  try {
    await file.write(header)
    await file.truncate(end)
    await fill(file, starts)
  } finally {
    await file.close()
  }
}
