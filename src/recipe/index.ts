export type { FileRange, PlainType, Recipe, Shape } from './types.js'
