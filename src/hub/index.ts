export { cacheDirectory } from './endpoint.js'
export { pullGguf } from './pull-gguf.js'
export { type Pulled, type PullOptions, pullRepository } from './pull-repository.js'
export { checkpointFolders, selectCheckpoint } from './select-checkpoint.js'
