export { type LogitsHeader, logitsFileBytes, rowUnits, scoredOfChunk } from './layout.js'
export { readLogitsHeader, readLogitsRows } from './reader.js'
export { decodeRow, encodeRow, logSumExp, type StoredRow } from './row.js'
export { createLogitsFile, type LogitsWriter } from './writer.js'
