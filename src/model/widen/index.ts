export { type Grain, grains, reversed } from './placement.js'
export {
  narrow,
  nothingToCompare,
  notWidenedNote,
  type RowChange,
  rowChanges,
  usefulChanges,
  type WidenRequest,
  widen,
  widenedBy,
  widthsOfRows,
  withChanges,
} from './widen.js'
export {
  type Size,
  sizeText,
  type Widening,
  type WidthChanges,
  type WidthKey,
  type Widths,
  widthKeyOf,
  widthKeys,
  widthNames,
} from './widths.js'
