export { type MeasuredOptions, planMeasured } from './plan-measured.js'
