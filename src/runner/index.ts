export { chunksOfTokens, countChunks } from './count-chunks.js'
export { type ExternalPerplexity, externalPerplexity, findProgram } from './external.js'
export { externalImatrix } from './external-imatrix.js'
export { type TimedModel, timeWithBench } from './external-speed.js'
export { architecturesOf, compareVersions, knownSince } from './known-architectures.js'
export { findLibraries, gpuPackages, installedBuilds, type LlamaBuild } from './libraries.js'
export { architecturesIn } from './library-architectures.js'
export { listDevices, loadModel } from './load-model.js'
export { LlamaModel } from './model.js'
export { type LoadModel, type ModelKeeper, modelKeeper } from './model-keeper.js'
export type { GenerateOptions, LoadOptions, PerplexityOptions } from './options.js'
export type { Perplexity } from './perplexity.js'
export type {
  ChatMessage,
  ChunkRange,
  CompletionStep,
  CovarianceGroup,
  CovarianceRequest,
  Device,
  Generated,
  Hardware,
  ImatrixResult,
  KvType,
  LogitsComparison,
  ModelInfo,
  Pooling,
  Sampling,
  TokenProbability,
} from './protocol.js'
export { loadWithServer } from './server-model.js'
export { serverPlacement } from './server-placement.js'
export type { TextModel } from './text-model.js'
export { llamaVersion, packageVersion } from './version.js'
