export {
  add,
  blockScale,
  concat,
  constant,
  ggml,
  interleaveHalves,
  plain,
  plainTypeBytes,
  reshape,
  slice,
  stack,
  transpose,
} from './build.js'
export { type Buffers, evaluateRows, type ReadRange } from './evaluate.js'
export { preferredRowStep } from './row-step.js'
export { elementCount, rowCount, rowLength, sameShape, showShape } from './shape.js'
export type { FileRange, PlainType, Recipe, Shape } from './types.js'
