export type { Writable } from './candidates.js'
export { readConstraints } from './constraints.js'
export type { Mixture } from './mixture.js'
export { knownMixtures, readMixture } from './mixture-files.js'
export { bitsBudget, type PlanBitsOptions, planBits } from './plan-bits.js'
export {
  type Budget,
  type ChoiceOptions,
  type Measure,
  measureAll,
  planBytes,
  type TypeErrors,
} from './plan-bytes.js'
export { type PlanMixtureOptions, planMixture } from './plan-mixture.js'
export { knownPresets, type PlanPresetOptions, planPreset } from './plan-preset.js'
export { planSize, roundedUp, type SizeBudget } from './plan-size.js'
export { type PlanTypeOptions, planType } from './plan-type.js'
export type { RuleOf } from './role-rules.js'
export { parseTensorTypes, type TensorTypeOverride } from './tensor-types.js'
export { writableTypes } from './writable-types.js'
