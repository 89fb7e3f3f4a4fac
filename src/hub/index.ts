export { selectCheckpoint } from './select-checkpoint.js'
