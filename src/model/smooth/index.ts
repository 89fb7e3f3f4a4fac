export { type Smoothable, type Smoothing, smooth, smoothable } from './smooth.js'
