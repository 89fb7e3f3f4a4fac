export { hubEndpoint, registryEndpoint } from './endpoint.js'
export { type PullGgufOptions, pullGguf } from './pull-gguf.js'
export { type Pulled, type PullOptions, pullRepository } from './pull-repository.js'
export { selectCheckpoint } from './select-checkpoint.js'
