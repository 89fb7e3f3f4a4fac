import { readFully } from '../../formats/file-bytes.js'
import { type Codec, openCodec } from '../../formats/ggml/codec.js'
import { ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import { isCopy, isLossless } from '../engine/index.js'
import { withFile } from '../files/index.js'
import type { BlueprintTensor } from '../model/index.js'
import type { OutputLayout, TensorLocation } from '../plan/index.js'
import { elementCount } from '../recipe/index.js'

/** Magnitude below which weights are as good as zero: scales of E8M0 whose bytes are all 0 are 2^-127. */
export const leastMagnitude = 2 ** -60

/** Weights that are read at once: whole blocks of every type. */
const chunkElements = 2 ** 14

/** How many tensors the note names. */
const mostNamed = 5

/** A tensor of a finished output, and where it is. */
export interface WrittenTensor {
  readonly tensor: BlueprintTensor
  readonly location: TensorLocation
}

/** The tensors of an output whose quantized blocks are copied from the source, and which are not measured for this reason. */
export function copiedTensors(tensors: readonly BlueprintTensor[], { tensors: locations }: OutputLayout): WrittenTensor[] {
  return written(tensors, locations).filter(
    ({ tensor, location: { type } }) => isCopy(tensor.recipe, type) && ggmlType(type).blockSize > 1,
  )
}

/** The tensors of an output that are copied or measured: all but those of float types that hold the source exactly. */
export function quantizedTensors(tensors: readonly BlueprintTensor[], layout: OutputLayout): WrittenTensor[] {
  const measured = written(tensors, layout.tensors).filter(
    ({ tensor: { recipe }, location: { type } }) => !isCopy(recipe, type) && !isLossless(type, recipe),
  )
  return [...copiedTensors(tensors, layout), ...measured]
}

/**
 * Finds the tensors of a finished output whose weights are all zero. It reads each up to its first weight that is not.
 * @returns their names.
 * @throws Node's own errors.
 */
export async function zeroTensors(candidates: readonly WrittenTensor[], { parts }: OutputLayout): Promise<Set<string>> {
  const found = new Set<string>()
  if (candidates.length === 0) return found
  const codec = await openCodec()
  for (const [part, { path }] of parts.entries()) {
    const here = candidates.filter(({ location }) => location.part === part)
    if (here.length === 0) continue
    await withFile(path, 'r', async (file) => {
      for (const { tensor, location } of here) {
        const read = (bytes: Uint8Array, position: number): Promise<number> => readFully(file, bytes, position)
        if (await isZero(location, elementCount(tensor.shape), read, codec)) found.add(location.name)
      }
    })
  }
  return found
}

async function isZero(
  { type, offset }: TensorLocation,
  elements: number,
  read: (bytes: Uint8Array, position: number) => Promise<number>,
  codec: Codec,
): Promise<boolean> {
  for (let start = 0; start < elements; start += chunkElements) {
    const count = Math.min(chunkElements, elements - start)
    const bytes = new Uint8Array(ggmlBytes(type, count))
    await read(bytes, offset + ggmlBytes(type, start))
    if (codec.dequantize(type, bytes, count).some((weight) => Math.abs(weight) > leastMagnitude)) return false
  }
  return true
}

/** Pairs the tensors of a model with their places; both are in the order of the plan. */
function written(tensors: readonly BlueprintTensor[], locations: readonly TensorLocation[]): WrittenTensor[] {
  return tensors.map((tensor, index) => ({ tensor, location: locations[index] as TensorLocation }))
}

/**
 * A note on tensors whose weights are all zero, which damaged scales of a quantized source may be the cause of; none where there are none.
 * @param zeros their names.
 */
export function zeroNotes({ tensors }: Pick<OutputLayout, 'tensors'>, zeros: ReadonlySet<string>): string[] {
  const names = tensors.map(({ name }) => name).filter((name) => zeros.has(name))
  if (names.length === 0) return []
  const named = names.slice(0, mostNamed).join(', ')
  const others = names.length > mostNamed ? ` and ${names.length - mostNamed} more` : ''
  const count = names.length === 1 ? 'a tensor' : `${names.length} tensors`
  return [`All measured weights of ${count} are zero (${named}${others}): in a quantized source damaged scales look like this.`]
}
