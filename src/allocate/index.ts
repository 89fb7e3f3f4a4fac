export type { Writable } from './candidates.js'
export { readConstraints } from './constraints.js'
export type { NamedRecipe } from './named-recipe.js'
export { namedRecipes, readNamedRecipe } from './named-recipe-files.js'
export { type PlanBitsOptions, planBits } from './plan-bits.js'
export {
  type Budget,
  type ChoiceOptions,
  damageAt,
  type Measure,
  measureAll,
  planBytes,
  type TypeErrors,
  weighBy,
} from './plan-bytes.js'
export { knownPresets, type PlanPresetOptions, planPreset } from './plan-preset.js'
export { type PlanRecipeOptions, planRecipe } from './plan-recipe.js'
export { planSize, roundedUp, type SizeBudget } from './plan-size.js'
export { type PlanTypeOptions, planType } from './plan-type.js'
export type { Weigh } from './role-rules.js'
export { showPlan } from './summary.js'
export { parseTensorTypes, type TensorTypeOverride } from './tensor-types.js'
export { typicalErrorsNote, typicalMeasure } from './typical-errors.js'
export { writableTypes } from './writable-types.js'
