export { filesOfAdapter } from './adapter/index.js'
export { type Family, type FootprintTraits, familyOfArchitecture, knownClasses, otherForms } from './architectures/index.js'
export { type Blueprint, type BlueprintTensor, type MergedAdapter, type TensorRole, tensorRoles } from './blueprint.js'
export { blueprintOfAdapter, makeBlueprint } from './convert/index.js'
export { type LoadableModel, type ToGguf } from './loadable-model.js'
export type { ModelHeaders, ModelOptions } from './open-model.js'
export { openStreamedModel, readModelHeaders, remoteModel, type StreamedModel } from './open-model.js'
export { outputName, outputPath } from './output-name.js'
export type { RemoteShards } from './remote-shards.js'
export { layerOfTensor, roleOfTensor } from './roles.js'
export { type Smoothable, type Smoothing, smooth, smoothable } from './smooth/index.js'
export {
  grains,
  narrow,
  nothingToCompare,
  notWidenedNote,
  type RowChange,
  reversed,
  rowChanges,
  type Size,
  sizeText,
  usefulChanges,
  type WidenRequest,
  type WidthChanges,
  type WidthKey,
  type Widths,
  widen,
  widenedBy,
  widthKeyOf,
  widthKeys,
  widthNames,
  widthsOfRows,
} from './widen/index.js'
