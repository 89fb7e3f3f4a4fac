import { fieldsOf, isFields } from './fields.js'
import { operations } from './operations.js'
import type { Recipe } from './recipe.js'
import { sameShape } from './shape.js'

/** So deep at most are operations nested. */
const maxDepth = 64

/**
 * Reads a recipe that came from elsewhere as JSON: each node is built anew by its constructor, so that the shapes and byte ranges fit each
 * other. Whether the files have such bytes is not known here.
 * @throws RangeError where it is not a recipe.
 */
export function readRecipe(value: unknown): Recipe {
  return read(value, 0)
}

function read(value: unknown, depth: number): Recipe {
  if (!isFields(value)) throw new RangeError('a recipe is an object')
  const { op, shape } = value
  if (typeof op !== 'string' || !Object.hasOwn(operations, op)) throw new RangeError(`there is no operation ${String(op)}`)
  if (depth === maxDepth) throw new RangeError(`more than ${maxDepth} operations deep`)
  const recipe = operations[op as keyof typeof operations].read(fieldsOf(value, (operand) => read(operand, depth + 1)))
  if (!Array.isArray(shape) || !sameShape(shape, recipe.shape)) throw new RangeError(`another shape than that of its ${op}`)
  return recipe
}
