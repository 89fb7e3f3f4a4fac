export { type Adapted, adaptedCheckpoint } from './adapted-checkpoint.js'
export { type AdapterSpec, readAdapterSpec } from './adapter-spec.js'
export { type Adapter, filesOfAdapter, openAdapter } from './open-adapter.js'
