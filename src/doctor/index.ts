export { type DoctorOptions, type Examination, examine, largerThanMemory } from './examine.js'
export { atDiskSpeed, type ModelOutlook, outlookOf, outlookText } from './outlook.js'
export { examinationText } from './text.js'
