export { defaultAlignment } from './arithmetic.js'
export { type FileTypeName, fileTypeName, fileTypes } from './file-types.js'
export { type GgufLayout, layoutGguf } from './layout.js'
export { type OpenGguf, type OpenGgufTensor, type OpenSource, openGguf } from './open.js'
export { readGguf } from './reader.js'
export { parseShardName, planShards, shardMetadata, shardName } from './shards.js'
export { holdsRawBytes } from './text.js'
export {
  type GgufTensorInfo,
  type Metadata,
  type MetadataArray,
  type MetadataScalarType,
  type MetadataTypeName,
  type MetadataValue,
  metadataTypeIds,
} from './types.js'
export { weightsOfWidened, widenedKey, widthsOfWidened } from './widened.js'
export { writeGguf } from './writer.js'
