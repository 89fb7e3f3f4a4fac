export { type ComparedModel, type CompareOptions, type CompareReport, compareModels } from './compare.js'
export { comparePage } from './compare-page.js'
export { compareText } from './compare-text.js'
export { type Divergence, divergenceOf, type Spread } from './divergence.js'
export {
  batchGroups,
  chunksOfReference,
  compareChunks,
  comparisonName,
  joinComparisons,
  joinReferences,
} from './divide.js'
export { figures } from './figures.js'
export {
  checkAskedGates,
  checkGates,
  type Gate,
  type GateResult,
  gateError,
  gateValue,
  limitText,
  parseGate,
  withinLimit,
} from './gates.js'
export {
  keepReference,
  keptReferenceFiles,
  measureKept,
  measurementJson,
  parseMeasurement,
  reportOfMeasurement,
} from './kept-reference.js'
export { type CachedMeasurement } from './measurement-cache.js'
export { figureText, type ModelRow, modelTable } from './page-parts.js'
export { differenceOfChunks, type PairedDifference, pairedDifference } from './paired.js'
export { dominators } from './pareto.js'
export { type FileIdentity, parseReport, readReport, reportPath, type VerifyReport, writeReport } from './report.js'
export { reportPage } from './report-page.js'
export { reportText } from './report-text.js'
export { type Estimate, perplexityOf, perplexityRatio } from './statistics.js'
export { studentBound, studentConfidence } from './student.js'
export { kldTradeoff, type PlottedModel } from './tradeoff-charts.js'
export { type VerifyOptions, verify } from './verify.js'
