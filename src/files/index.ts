export { writeWhole } from './atomic-write.js'
export { hashFile } from './hash-file.js'
export { keepNewest } from './keep-newest.js'
export { linkFile } from './link-file.js'
export { type HeldLock, sharedLock } from './lock.js'
export {
  availableBytes,
  checkOutput,
  checkSpace,
  checkTarget,
  isDiskFull,
  journalName,
  lockName,
  partialName,
  writingError,
} from './output-target.js'
export { hasEnded, ownIdentity } from './process-identity.js'
export { readText, readWhole, type Text } from './read-text.js'
export { isRelativePath } from './relative-path.js'
export { withFile } from './with-file.js'
