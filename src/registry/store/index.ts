export { addBytes, addFile, type BlobIdentity, blobPath, isDigest, readBytes } from './blobs.js'
export {
  annotations,
  type Descriptor,
  encodeJson,
  type Manifest,
  mediaTypes,
  parseModelConfig,
} from './manifest.js'
export { isCommit, parseModelName, repositoryOf } from './model-name.js'
export { findRepository, listRepositories, type Repository, updateIndex } from './repository.js'
export {
  type Revisions,
  readRevisions,
  readTags,
  type Snapshot,
  type SnapshotFile,
  type Tagged,
} from './snapshot.js'
export { defaultRegistryDirectory, openStore, prepareStore, type Store } from './store.js'
export { sweepTemporaries } from './temporary.js'
