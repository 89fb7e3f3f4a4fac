export { type ExternalPerplexity, externalPerplexity, findProgram } from './external.js'
export { externalImatrix } from './external-imatrix.js'
export { type GenerateOptions, LlamaModel, type LoadOptions, loadModel, type PerplexityOptions } from './model.js'
export type { Perplexity } from './perplexity.js'
export type {
  ChatMessage,
  CompletionStep,
  CovarianceGroup,
  CovarianceRequest,
  Generated,
  ImatrixResult,
  KvType,
  LogitsComparison,
  ModelInfo,
  Pooling,
  Sampling,
  TokenProbability,
} from './protocol.js'
export { llamaVersion } from './version.js'
