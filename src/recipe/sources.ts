import type { Source } from './operation.js'
import { operationOf } from './operations.js'
import type { Recipe } from './recipe.js'
import { elementCount, rowLength } from './shape.js'

/** What a recipe reads from files, in order; what it reads twice stands there twice. */
function sourcesOf(recipe: Recipe): readonly Source[] {
  const operation = operationOf(recipe)
  const own = operation.source(recipe)
  return [...(own === undefined ? [] : [own]), ...operation.operands(recipe).flatMap(sourcesOf)]
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

/**
 * Bits that files hold for each value of a recipe, scales and the like included: 16 for BF16, 8.002 for FP8 with blocks of 128 x 128, 4.125
 * for 4-bit integers with a scale of 16 bits for 128 of them. 0 where nothing is read.
 */
export function bitsPerValue(recipe: Recipe): number {
  // Zeros that are added are held by no file.
  if (recipe.op === 'place' || recipe.op === 'multiply' || recipe.op === 'scale') return bitsPerValue(recipe.input)
  /** Bytes by their place: what is read twice is held once, and parts of it add up. */
  const held = new Map<string, number>()
  const add = (node: Recipe, share: number): void => {
    const operation = operationOf(node)
    const own = operation.source(node)
    if (own !== undefined) {
      const { file, start, end } = own.range
      const key = `${file}/${start}`
      held.set(key, Math.min((held.get(key) ?? 0) + share * (end - start), end - start))
    }
    const elements = elementCount(node.shape)
    for (const operand of operation.operands(node)) {
      // Of a larger tensor, only a part counts.
      add(operand, share * Math.min(1, elements / elementCount(operand.shape)))
    }
  }
  add(recipe, 1)
  return (8 * [...held.values()].reduce((sum, bytes) => sum + bytes, 0)) / elementCount(recipe.shape)
}

/** Whether an adapter has changed a recipe's values, so that they are no longer on the grid of what the files hold. */
export function isAdapted(recipe: Recipe): boolean {
  return recipe.op === 'low-rank' || operationOf(recipe).operands(recipe).some(isAdapted)
}

/** What an operation that only moves values does not move across: blocks of values along the rows. */
const acrossRows: ReadonlySet<string> = new Set(['transpose'])

/** Whether a recipe's rows are whole blocks of 32 values of 4 bits (E2M1) that share a power of two, as MXFP4 has them in any storage. */
export function holdsMxfp4(recipe: Recipe): boolean {
  const { op } = recipe
  if (op === 'combine' && recipe.by === 'product') {
    const { left, right } = recipe
    const isPowerOfTwo =
      right.op === 'expand' && right.blockRows === 1 && right.blockColumns === 32 && onlyMoves('F8_E8M0', right.input)
    return isPowerOfTwo && isFourBitFloats(left)
  }
  const operation = operationOf(recipe)
  if (!operation.lossless || acrossRows.has(op) || rowLength(recipe) % 32 !== 0) return false
  const operands = operation.operands(recipe)
  return operands.length > 0 && operands.every(holdsMxfp4)
}

/** Codes of E2M1 along the rows, looked up. */
function isFourBitFloats(recipe: Recipe): boolean {
  if (recipe.op === 'reshape') return isFourBitFloats(recipe.input)
  return (
    recipe.op === 'lookup' &&
    recipe.input.op === 'unpack' &&
    recipe.input.along === 1 &&
    recipe.input.bits === 4 &&
    isE2m1(recipe.table)
  )
}

function isE2m1(table: Recipe): boolean {
  const values = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
  return table.op === 'constant' && table.values.every((value, code) => Math.abs(Math.fround(value)) === values[code & 7])
}
