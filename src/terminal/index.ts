export { formatBytes, formatCount, formatSeconds } from './format.js'
export { type BarStream, ProgressBar } from './progress-bar.js'
export { readPositive, readShare, readSize } from './quantities.js'
export { type Column, formatTable } from './table.js'
