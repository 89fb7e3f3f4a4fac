/** Row-major dimensions, as a checkpoint writes them: the last one is the row length. */
export type Shape = readonly number[]

/** Bytes of one of the blueprint's files. */
export interface FileRange {
  /** Index into Blueprint.files. */
  readonly file: number
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

/** The nodes of recipes, by operation: each file of operations/ adds its own. */
export interface RecipeNodes {}

/**
 * How one output tensor is made from bytes: a small JSON expression that any worker, process or machine can evaluate for any range of
 * rows. A "row" is the last dimension; rows are numbered over all the others together. Everything evaluates to f32.
 */
export type Recipe = RecipeNodes[keyof RecipeNodes]
