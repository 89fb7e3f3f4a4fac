import type { Source } from './operation.js'
import { operationOf } from './operations.js'
import type { Recipe } from './recipe.js'

/** What a recipe reads from files, in order; what it reads twice stands there twice. */
function sourcesOf(recipe: Recipe): readonly Source[] {
  const operation = operationOf(recipe)
  const own = operation.source(recipe)
  return own === undefined ? operation.operands(recipe).flatMap(sourcesOf) : [own]
}

/** Bytes of files that a recipe reads. */
export function sourceBytes(recipe: Recipe): number {
  return sourcesOf(recipe).reduce((sum, { range }) => sum + range.end - range.start, 0)
}

/** Whether all that a recipe does to values of this type is to put them elsewhere. */
export function onlyMoves(type: Source['type'], recipe: Recipe): boolean {
  const operation = operationOf(recipe)
  const own = operation.source(recipe)
  if (own !== undefined) return own.type === type
  return operation.lossless && operation.operands(recipe).every((operand) => onlyMoves(type, operand))
}
