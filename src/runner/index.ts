export { type ExternalPerplexity, externalPerplexity, findProgram } from './external.js'
export { externalImatrix } from './external-imatrix.js'
export { type GenerateOptions, LlamaModel, type LoadOptions, loadModel, type PerplexityOptions } from './model.js'
export type { Perplexity } from './perplexity.js'
export type {
  ChatMessage,
  CovarianceGroup,
  CovarianceRequest,
  Generated,
  ImatrixResult,
  LogitsComparison,
  ModelInfo,
} from './protocol.js'
export { llamaVersion } from './version.js'
