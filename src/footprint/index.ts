export {
  type Buffers,
  buffersOf,
  type Footprint,
  footprintOf,
  type RunOptions,
  shapeOrRefuse,
  tensorAlignment,
  weightsBytes,
} from './footprint.js'
export { type CacheType, cacheTypes } from './kv-cache.js'
export { type ModelShape, modelShape } from './model-shape.js'
export { type Placement, placeOnGpu } from './placement.js'
