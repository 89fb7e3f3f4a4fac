export { dtypeBits, type SafetensorsDtype, tensorBytes } from './dtypes.js'
export { readSafetensorsHeader, type SafetensorsHeader, type SafetensorsTensor } from './header.js'
export { checkShards, readShardIndex } from './shards.js'
export { type SafetensorsInput, safetensorsHeader, writeSafetensors } from './writer.js'
