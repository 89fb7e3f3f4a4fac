export { asGguf } from './as-gguf.js'
export { assembleRanges, type OutputRange, outputRanges, type QuantizedRange, quantizeRange } from './parts.js'
export { type QuantizeOptions, type QuantizeResult, quantize } from './quantize.js'
export { type QuantizeReport, reportOf, reportText } from './report.js'
