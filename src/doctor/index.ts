export { type DoctorOptions, type Examination, examine, largerThanMemory } from './examine.js'
export { atDiskSpeed, type SpeedEstimate, speedEstimateOf, speedEstimateText } from './speed-estimate.js'
export { examinationText } from './text.js'
