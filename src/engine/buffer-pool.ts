/**
 * Reusable buffers: a task takes buffers, releases single ones, and all of them when it ends. So the memory of a thread stays at what its
 * largest tasks need, without garbage collection.
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

/** Sizes are rounded up to this, so that tasks of nearly one size share their buffers. */
const step = 64 * 2 ** 10
/** Larger buffers are not kept for the next task: most tasks need none, and every thread would come to hold some. */
const largestKept = 4 * 2 ** 20
/** A free buffer serves a request of at least this share of it; smaller ones would hold too much. */
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
      // What did not fit a request is dropped, or sizes that change from tensor to tensor would pile up.
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
