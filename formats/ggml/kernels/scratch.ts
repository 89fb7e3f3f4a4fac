// Working memory of the codebook encoders. It lies between the module's own data and the memory that the caller may use, because zeroed
// data of this size would make the compiled module as much larger.

/** Bytes of working memory that any encoder may overwrite. */
const sharedBytes: usize = 152 * 1024
/** Bytes of the lists of near-points.ts, which are kept from call to call: one for each codebook of IQ3. */
const listBytes: usize = 4096 * 6 * 32

/** The working memory's first byte. */
// @ts-ignore: decorator
@inline
export function scratch(): usize {
  return (__heap_base + 63) & ~63
}

/** Where the lists of near points begin, for codebook 0 or 1. */
// @ts-ignore: decorator
@inline
export function nearLists(codebook: usize): usize {
  return scratch() + sharedBytes + listBytes * codebook
}

/** The first byte after it. */
export function scratchEnd(): usize {
  return scratch() + sharedBytes + 2 * listBytes
}
