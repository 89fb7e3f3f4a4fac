export { type ModelImportance, readImportance } from './imatrix/index.js'
