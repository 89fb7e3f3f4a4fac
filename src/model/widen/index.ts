export {
  narrow,
  nothingToCompare,
  notWidenedNote,
  usefulGrowths,
  type WidenRequest,
  widen,
  widenedBy,
  withGrowths,
} from './widen.js'
export {
  type Growths,
  type Size,
  type WidthKey,
  type Widths,
  widthKeyOf,
  widthKeys,
  widthNames,
} from './widths.js'
