import {
  concat,
  interleaveHalves,
  multiply,
  type Recipe,
  reshape,
  rowLength,
  slice,
  stack,
  strideRows,
  transpose,
} from '../../recipe/index.js'

/** The two matrices of an unmerged update: a, rank x inputs, and b, outputs x rank; for experts with a leading dimension. */
export interface FactorPair {
  readonly a: Recipe
  readonly b: Recipe
}

/**
 * The pair whose product is the recipe, where a recipe puts rows and columns of `low-rank` products elsewhere: what llama.cpp's converter
 * does with its LoraTorchTensor. Undefined where no pair has that product.
 */
export function pairOf(recipe: Recipe): FactorPair | undefined {
  switch (recipe.op) {
    case 'low-rank':
      return { a: recipe.right, b: recipe.left }
    case 'interleave-halves':
      return changed(recipe.input, ({ a, b }) => ({ a, b: interleaveHalves(b, recipe.heads) }))
    case 'stride-rows':
      return changed(recipe.input, ({ a, b }) => ({ a, b: strideRows(b, recipe.first, recipe.step) }))
    case 'multiply':
      return changed(recipe.input, ({ a, b }) => ({ a, b: multiply(b, recipe.value) }))
    case 'transpose':
      // Of experts, the dimension before stays where it is.
      return changed(recipe.input, ({ a, b }) =>
        a.shape.length === b.shape.length ? { a: transpose(b), b: transpose(a) } : undefined,
      )
    case 'slice':
      return changed(recipe.input, ({ a, b }) => {
        const rows = slice(b, recipe.axis, recipe.start, recipe.end)
        const isRows = recipe.axis === b.shape.length - 2
        if (isRows || a.shape.length < b.shape.length || a.shape[recipe.axis] === 1) return { a, b: rows }
        return { a: slice(a, recipe.axis, recipe.start, recipe.end), b: rows }
      })
    case 'reshape':
      return changed(recipe.input, ({ a, b }) => {
        if (rowLength(recipe) !== rowLength(recipe.input) || recipe.shape.length < 2) return undefined
        const outer = recipe.shape.slice(0, -2).map(() => 1)
        const isOne = a.shape.slice(0, -2).every((size) => size === 1)
        if (!isOne) return undefined
        return { a: reshape(a, [...outer, ...a.shape.slice(-2)]), b: reshape(b, [...recipe.shape.slice(0, -1), rowLength(b)]) }
      })
    case 'stack':
      return joined(recipe.inputs, (pairs) => ({ a: stack(pairs.map(({ a }) => a)), b: stack(pairs.map(({ b }) => b)) }))
    case 'concat':
      return joined(recipe.inputs, (pairs) => {
        if (recipe.shape.length > 2) return { a: concat(pairs.map(({ a }) => a)), b: concat(pairs.map(({ b }) => b)) }
        const [first] = pairs
        const isShared = pairs.every(({ a }) => JSON.stringify(a) === JSON.stringify(first?.a))
        return first === undefined || !isShared ? undefined : { a: first.a, b: concat(pairs.map(({ b }) => b)) }
      })
    default:
      return undefined
  }
}

function changed(input: Recipe, change: (pair: FactorPair) => FactorPair | undefined): FactorPair | undefined {
  const pair = pairOf(input)
  return pair === undefined ? undefined : attempt(() => change(pair))
}

function joined(
  inputs: readonly Recipe[],
  join: (pairs: readonly FactorPair[]) => FactorPair | undefined,
): FactorPair | undefined {
  const pairs = inputs.map(pairOf)
  return pairs.every((pair) => pair !== undefined) ? attempt(() => join(pairs)) : undefined
}

/** Shapes that do not fit, as where a transform changes both sides: there is no such pair. */
function attempt(make: () => FactorPair | undefined): FactorPair | undefined {
  try {
    return make()
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
