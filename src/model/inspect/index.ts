export { type InspectedValue, type Inspection, inspectModel } from './inspect.js'
export { groupTensors } from './tensor-groups.js'
