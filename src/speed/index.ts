export {
  type Load,
  measureSpeeds,
  type PairedSpeed,
  type Speed,
  type SpeedOptions,
  type SpeedReport,
  type SpeedTest,
} from './measure.js'
export { speedPage } from './page.js'
export { speedText } from './text.js'
