/**
 * Reusable buffers: a task takes buffers, and releases them one by one or all at its end. The memory of a thread stays at what its largest tasks
 * need, without garbage collection.
 */
export interface BufferPool {
  /** A buffer of `length` bytes with undefined content. */
  bytes(length: number): Uint8Array<ArrayBuffer>
  /** The same as f32. */
  floats(length: number): Float32Array<ArrayBuffer>
  /** Releases a buffer, if it belongs to this pool. */
  release(view: ArrayBufferView): void
  /** Releases all buffers. */
  reset(): void
}

/** Sizes are rounded up to a multiple of this, in bytes, so that tasks of similar sizes share buffers. */
const step = 64 * 2 ** 10
/** Larger buffers, in bytes, are not kept for the next task: few tasks need them, and every thread would hold some. */
const largestKept = 4 * 2 ** 20
/** A free buffer is reused for requests of at least this share of its size. */
const minUse = 0.5

/** An empty pool. */
export function newBufferPool(): BufferPool {
  const taken = new Set<ArrayBufferLike>()
  let free: ArrayBuffer[] = []
  const take = (length: number): ArrayBuffer => {
    let best: ArrayBuffer | undefined
    for (const buffer of free) {
      const wasteful = buffer.byteLength > step && length < minUse * buffer.byteLength
      const fits = buffer.byteLength >= length && !wasteful
      if (fits && (best === undefined || buffer.byteLength < best.byteLength)) best = buffer
    }
    if (best === undefined) {
      // Buffers that did not fit are dropped, or sizes that change from tensor to tensor would accumulate.
      free = free.filter(({ byteLength }) => byteLength > length || byteLength < minUse * length)
      best = new ArrayBuffer(Math.max(1, Math.ceil(length / step)) * step)
    } else {
      free.splice(free.indexOf(best), 1)
    }
    taken.add(best)
    return best
  }
  return {
    bytes: (length) => new Uint8Array(take(length), 0, length),
    floats: (length) => new Float32Array(take(4 * length), 0, length),
    release({ buffer }) {
      if (taken.delete(buffer)) free.push(buffer as ArrayBuffer)
    },
    reset() {
      free.push(...(taken as Set<ArrayBuffer>))
      free = free.filter(({ byteLength }) => byteLength <= largestKept)
      taken.clear()
    },
  }
}
