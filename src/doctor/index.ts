export { type DoctorOptions, type Examination, examine, largerThanMemory } from './examine.js'
export { type ModelOutlook, outlookOf, outlookText } from './outlook.js'
export { examinationText } from './text.js'
