// Working memory of the codebook encoders. It lies between the module's own data and the memory that the caller may use, because zeroed
// data of this size would make the compiled module as much larger.

/** Bytes of working memory. */
export const scratchBytes: usize = 288 * 1024

/** The working memory's first byte. */
// @ts-ignore: decorator
@inline
export function scratch(): usize {
  return (__heap_base + 63) & ~63
}

/** The first byte after it. */
export function scratchEnd(): usize {
  return scratch() + scratchBytes
}
