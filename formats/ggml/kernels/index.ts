// The kernels' table of contents: one family of block types per file. Which file to open for what: docs/kernels.md.
// Exports are found by name: quantize_TYPE(source, target, rows, rowLength, importance) and dequantize_TYPE(source, target, elements),
// TYPE in lower case. Addresses are bytes in a memory that the caller owns; `importance` is 0 for none.

import { scratchEnd } from './scratch'

/** First byte of the memory that the caller may use. */
export function heapBase(): usize {
  return scratchEnd()
}

export { double_product } from './double-product'
export { rotate_rows, tridiagonalize } from './eigen'
export { set_effort } from './effort'
export { eliminate, eliminate_low_rank } from './elimination'
export * from './float'
export * from './q8-0'
export * from './dequantize-plain'
export * from './dequantize-table'
export * from './dequantize-k'
export * from './dequantize-codebook'
export * from './quantize-legacy'
export * from './quantize-q2-k'
export * from './quantize-q3-k'
export * from './quantize-q4-q5-k'
export * from './quantize-q6-k'
export * from './quantize-iq4'
export * from './quantize-iq2'
export * from './quantize-iq3'
export * from './quantize-ternary'
export * from './quantize-fp4'
export * from './quantize-iq1'
export * from './feedback-affine'
export * from './feedback-symmetric'
export * from './feedback-halves'
export * from './feedback-iq2-iq3'
export * from './feedback-iq1'
export { feedback_memory } from './feedback-memory'
export { product, product_pack } from './product'
