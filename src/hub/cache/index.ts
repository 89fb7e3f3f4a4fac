export { type CacheCheck, type CacheFault, checkCache } from './check.js'
export { type CachedModel, listCache } from './list.js'
export { type CacheRecord, contentFolder, findRecord, writeRecord } from './record.js'
export { type CacheRemoval, removeCached } from './remove.js'
