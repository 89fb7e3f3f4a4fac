export { defaultHost, defaultPort, type RunningRegistry, startRegistry } from './http/server.js'
export { type ListedModel, listModels } from './list.js'
export { type Published, type PublishOptions, publish } from './publish.js'
export { defaultRegistryDirectory } from './store/index.js'
