export type { Importance } from './cut.js'
export { type Measurements, type MeasureOptions, type MeasureRequest, measure, type TypeDamage } from './measure.js'
