export { type Grain, grains, reversed } from './placement.js'
export {
  narrow,
  nothingToCompare,
  notWidenedNote,
  type RowGrowth,
  rowGrowths,
  usefulGrowths,
  type WidenRequest,
  widen,
  widenedBy,
  widthsOfRows,
  withGrowths,
} from './widen.js'
export {
  type Growths,
  type Size,
  sizeText,
  type Widening,
  type WidthKey,
  type Widths,
  widthKeyOf,
  widthKeys,
  widthNames,
} from './widths.js'
