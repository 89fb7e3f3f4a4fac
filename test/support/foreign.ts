export { type Foreign, type ForeignOptions, foreign } from '../../bench/foreign.js'
