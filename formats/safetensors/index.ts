export { dtypeBits, type SafetensorsDtype } from './dtypes.js'
export { readSafetensorsHeader, type SafetensorsHeader, type SafetensorsTensor } from './header.js'
export { checkShards, readShardIndex } from './shards.js'
export { type SafetensorsInput, writeSafetensors } from './writer.js'
