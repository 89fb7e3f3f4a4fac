export {
  type CacheCheck,
  type CachedModel,
  type CacheFault,
  type CacheRemoval,
  checkCache,
  listCache,
  removeCached,
} from './cache/index.js'
export { type HubClient } from './client.js'
export { type ConnectOptions, connect } from './connect.js'
export { cacheDirectory, findToken, hubEndpoint, isOffline } from './endpoint.js'
export { fetchFiles } from './fetch-files.js'
export { fetchListed } from './fetch-listed.js'
export { listModel } from './list-model.js'
export type { Listing, RemoteFile } from './listing.js'
export { pullGguf } from './pull-gguf.js'
export { pullModel } from './pull-model.js'
export { listPull, type Pulled, type PullOptions, pullRepository } from './pull-repository.js'
export { rangeSource } from './range-source.js'
export { parseRemoteName } from './repository-name.js'
export { checkpointFolders, selectCheckpoint } from './select-checkpoint.js'
export { selectGguf } from './select-gguf.js'
