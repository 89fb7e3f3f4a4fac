export { type DryRun, type DryRunOptions, dryRun } from './dry-run.js'
export { dryRunText } from './dry-run-text.js'
export { checkPictureName, writePicture } from './write-picture.js'
