export { addBytes, addFile, adoptBlob, type BlobIdentity, blobPath, copyAndHash, digestOf, isDigest, readBytes } from './blobs.js'
export { withLock } from './lock.js'
export {
  annotations,
  type Descriptor,
  encodeJson,
  limits,
  type Manifest,
  type ModelConfig,
  mediaTypes,
  parseModelConfig,
  tagOf,
} from './manifest.js'
export { isCommit, type ModelName, parseModelName, repositoryOf } from './model-name.js'
export type { PartUpload } from './part-uploads.js'
export { type Pin, pinBlobs } from './pins.js'
export { descriptorsIn, reach } from './reachable.js'
export {
  checkIndexLimits,
  findRepository,
  listRepositories,
  type Repository,
  readIndex,
  removeEntries,
  removeRepository,
  updateIndex,
} from './repository.js'
export {
  type DamagedTag,
  type Revisions,
  readManifest,
  readRevisions,
  readTags,
  type Snapshot,
  type SnapshotFile,
  type Tagged,
} from './snapshot.js'
export { blobsDirectory, defaultRegistryDirectory, openStore, prepareStore, type Store } from './store.js'
export { sweepTemporaries, temporaryPath, writeAtomically } from './temporary.js'
export { emptyTrash, fetchFromTrash, moveToTrash } from './trash.js'
export { bodyOf, createUploads, type Upload, type UploadLimits, type Uploads } from './uploads.js'
