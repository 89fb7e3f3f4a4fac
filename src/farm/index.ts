export { type Farm, type FarmOptions, openFarm } from './farm-executor.js'
export { defaultFarmPort, type FarmPageOptions, type RunningFarmPage, startFarmPage } from './serve-status.js'
export { type FarmStatus, farmMetrics, farmStatus, farmStatusText } from './status.js'
export { type WorkEvent, type WorkOptions, type WorkReport, work } from './work.js'
