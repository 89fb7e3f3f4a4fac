import type { Operation } from './operation.js'
import { addOperation } from './operations/add.js'
import { blockScaleOperation } from './operations/block-scale.js'
import { combineOperation } from './operations/combine.js'
import { concatOperation } from './operations/concat.js'
import { constantOperation } from './operations/constant.js'
import { expandOperation } from './operations/expand.js'
import { ggmlOperation } from './operations/ggml.js'
import { interleaveHalvesOperation } from './operations/interleave-halves.js'
import { lookupOperation } from './operations/lookup.js'
import { lowRankOperation } from './operations/low-rank.js'
import { multiplyOperation } from './operations/multiply.js'
import { mxfp4Operation } from './operations/mxfp4.js'
import { negativeExpOperation } from './operations/negative-exp.js'
import { normalizeOperation } from './operations/normalize.js'
import { placeOperation } from './operations/place.js'
import { plainOperation } from './operations/plain.js'
import { q40Operation } from './operations/q4-0.js'
import { reshapeOperation } from './operations/reshape.js'
import { rowMagnitudeOperation } from './operations/row-magnitude.js'
import { scaleOperation } from './operations/scale.js'
import { sliceOperation } from './operations/slice.js'
import { stackOperation } from './operations/stack.js'
import { strideRowsOperation } from './operations/stride-rows.js'
import { takeColumnsOperation } from './operations/take-columns.js'
import { transposeOperation } from './operations/transpose.js'
import { unpackOperation } from './operations/unpack.js'
import type { Recipe, RecipeNodes } from './recipe.js'

/**
 * All recipe operations, by name. A new one is a file in operations/ (its node, its constructor, its entry) and a line here; all code that traverses
 * recipes uses this table.
 */
export const operations: { readonly [Op in keyof RecipeNodes]: Operation<RecipeNodes[Op]> } = {
  plain: plainOperation,
  ggml: ggmlOperation,
  'block-scale': blockScaleOperation,
  'interleave-halves': interleaveHalvesOperation,
  reshape: reshapeOperation,
  slice: sliceOperation,
  transpose: transposeOperation,
  stack: stackOperation,
  concat: concatOperation,
  add: addOperation,
  multiply: multiplyOperation,
  'negative-exp': negativeExpOperation,
  normalize: normalizeOperation,
  'stride-rows': strideRowsOperation,
  mxfp4: mxfp4Operation,
  'q4-0': q40Operation,
  constant: constantOperation,
  unpack: unpackOperation,
  'take-columns': takeColumnsOperation,
  lookup: lookupOperation,
  expand: expandOperation,
  combine: combineOperation,
  place: placeOperation,
  'low-rank': lowRankOperation,
  'row-magnitude': rowMagnitudeOperation,
  scale: scaleOperation,
}

/** The entry of a recipe's outermost operation. */
export function operationOf<Node extends Recipe>(recipe: Node): Operation<Node> {
  return operations[recipe.op] as unknown as Operation<Node>
}
