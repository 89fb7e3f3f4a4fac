/**
 * mq as a library, and its table of contents: each step of the way from a checkpoint to a model that runs is a function. Every command
 * parses flags, calls these and shows the result; it imports them from the faces of their folders, which loads less. docs/library.md has a
 * script that uses them.
 *
 * Long work is an async generator of `Progress` events whose return value is the result; `finish(work)` runs it to the end. Errors that a
 * user can do something about are `MqError`, with a code of docs/errors.md.
 */

// 1. Get a model

export {
  type CacheCheck,
  type CachedModel,
  type CacheFault,
  cacheDirectory,
  checkCache,
  listCache,
  type Pulled,
  type PullOptions,
  pullGguf,
  pullModel,
  pullRepository as pull,
  removeCached,
} from './hub/index.js'

// 2. Open it: headers alone, no weights

export { inspect } from './inspect.js'
export {
  type Blueprint,
  blueprintOfAdapter,
  type ModelHeaders,
  type ModelOptions,
  makeBlueprint,
  narrow,
  openStreamedModel,
  outputName,
  outputPath,
  type RemoteShards,
  readModelHeaders as openModel,
  type StreamedModel,
  type WidenRequest,
  type WidthKey,
  type Widths,
  widen,
  widenedBy,
  widthKeyOf,
  widthNames,
} from './model/index.js'
export { groupTensors, type InspectedValue, type Inspection } from './model/inspect/index.js'

// 3. Calibrate: importance matrix, and covariances of the inputs

export { type CalibrateOptions, calibrate } from './calibrate.js'
export {
  type ImatrixReport,
  imatrixText,
  type MatrixStatistics,
  type MergeReport,
  matrixStatistics,
  mergeMatrices,
  mergeText,
  openCalibration,
  readImportance,
  statisticsText,
} from './calibration/index.js'

// 4. Plan: which tensor gets which type

export { isDamping } from './engine/index.js'
export { cacheTypes, type RunOptions } from './footprint/index.js'
export {
  type BudgetRequest,
  checkPictureName,
  checkPlanMemory,
  type DryRun,
  dryRun,
  dryRunText,
  encodingOf,
  makePlan,
  type Plan,
  type PlanChoices,
  type PlanningOptions,
  type PlanRequest,
  planChoices,
  planUniform,
  readMixture,
  readPlan,
  sensitivityEstimates,
  showPlan,
  typicalErrorsNote,
  typicalMeasure,
  writePicture,
  writePlan,
} from './plan/index.js'

// 5. Quantize: write what a plan says

export { type Effort, efforts } from '../formats/ggml/effort.js'
export {
  type ArrayPart,
  type AssembledParts,
  assembleParts,
  type QuantizeOptions,
  type QuantizeReport,
  type QuantizeResult,
  quantize,
  quantizePart,
  reportOf as quantizeReport,
  reportText as quantizeText,
  type WrittenPart,
} from './quantize/index.js'

// 6. Verify: perplexity, KL divergence, gates, reports

export {
  type CompareReport,
  compareModels as compare,
  comparePage,
  compareText,
  figures,
  type Gate,
  gateError,
  parseGate,
  reportPage as verifyPage,
  reportPath,
  reportText as verifyText,
  type VerifyReport,
  verify,
  writeReport,
} from './verify/index.js'

// 7. Publish

export {
  checkRegistry,
  collectGarbage,
  createToken,
  type DamagedModel,
  defaultHost,
  defaultPort,
  defaultRegistryDirectory,
  type Garbage,
  type ListedModel,
  listRegistry,
  listTokens,
  type Published,
  type PublishedToTarget,
  publish,
  publishToTarget,
  type RegistryCheck,
  removeModel,
  removeToken,
  startRegistry,
  type TokenInfo,
} from './registry/index.js'

// 8. Run it

export { type ChatOptions, chat } from './chat/index.js'
export {
  type DoctorOptions,
  type Examination,
  examinationText,
  examine,
  largerThanMemory,
  speedEstimateOf,
  speedEstimateText,
} from './doctor/index.js'
export { generate } from './generate.js'
export { chooseOffload, loadWithOffload, type Offload } from './load-with-offload.js'
export { type LocateOptions, locateModel } from './locate-model.js'
export {
  type Generated,
  type GenerateOptions,
  type KvType,
  type LlamaModel,
  type LoadOptions,
  loadModel,
  loadWithServer,
  type TextModel,
  type TimedModel,
  timeWithBench,
} from './runner/index.js'
export {
  defaultEndpointPort,
  type EndpointOptions,
  type HandedOver,
  type RunningEndpoint,
  serveWithLlamaServer,
  startEndpoint,
} from './serve/index.js'
export { measureSpeeds, type SpeedOptions, type SpeedReport, speedPage, speedText } from './speed/index.js'

// 9. All of it, from a file: see docs/ci.md

export {
  type BuildDryRun,
  type BuildOptions,
  type BuildOutcome,
  type BuildProgress,
  type BuildReport,
  type BuildSpec,
  build,
  buildSchema,
  dryRunBuild,
  dryRunBuildText,
  readBuild,
  summaryMarkdown,
} from './build/index.js'

// 10. On many machines: see docs/farm.md

export {
  defaultFarmPort,
  type Farm,
  type FarmOptions,
  type FarmPageOptions,
  type FarmStatus,
  farmMetrics,
  farmStatus,
  farmStatusText,
  openFarm,
  type RunningFarmPage,
  startFarmPage,
  type WorkEvent,
  type WorkOptions,
  type WorkReport,
  work,
} from './farm/index.js'

// Shared ground: errors, progress, files, how figures are written

export { MqError } from './errors/index.js'
export { checkOutput, checkTarget, writeWhole } from './files/index.js'
export { finish, type Progress, type WithProgress } from './progress/index.js'
export {
  formatBytes,
  formatCount,
  formatSeconds,
  formatTable,
  ProgressBar,
  readPositive,
  readShare,
  readSize,
} from './terminal/index.js'
