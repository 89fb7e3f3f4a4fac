export { type ImatrixOptions, type ImatrixReport, imatrixText, makeImatrix } from './make-imatrix.js'
export { type MergeReport, mergeMatrices, mergeText } from './merge.js'
export { readMatrix } from './read-matrix.js'
export { type MatrixStatistics, matrixStatistics, statisticsText } from './show.js'
