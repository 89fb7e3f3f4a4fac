export { type GgmlOracle, oracle } from '../../bench/ggml-peer.js'
