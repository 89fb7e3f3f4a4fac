import type { FileRange, Recipe, Shape } from './recipe.js'

/** Fields of an untrusted node. Each function throws a RangeError if the field is not of its kind. */
export interface Fields {
  recipe(name: string): Recipe
  /** Undefined where the node has none of that name. */
  optionalRecipe(name: string): Recipe | undefined
  recipes(name: string): readonly Recipe[]
  text(name: string): string
  oneOf<Value extends string>(name: string, values: readonly Value[]): Value
  flag(name: string): boolean
  /** Finite. */
  number(name: string): number
  numbers(name: string): readonly number[]
  /** A whole number of at least 0. */
  whole(name: string): number
  /** A whole number of at least 1. */
  count(name: string): number
  range(name: string): FileRange
  shape(name: string): Shape
}

/** Maximum number of dimensions, twice that of GGUF. */
const maxDimensions = 8

/** @param readOperand reads an operand of the node. */
export function fieldsOf(node: Readonly<Record<string, unknown>>, readOperand: (value: unknown) => Recipe): Fields {
  function required<Value>(name: string, value: unknown, is: (value: unknown) => value is Value): Value {
    if (!is(value)) throw new RangeError(`${name} of ${String(node['op'])} is not what it should be`)
    return value
  }
  const fields: Fields = {
    recipe: (name) => readOperand(node[name]),
    optionalRecipe: (name) => (node[name] === undefined ? undefined : readOperand(node[name])),
    recipes: (name) => required(name, node[name], Array.isArray).map(readOperand),
    text: (name) => required(name, node[name], (value) => typeof value === 'string'),
    oneOf: <Value extends string>(name: string, values: readonly Value[]) =>
      required(name, node[name], (value): value is Value => values.some((known) => known === value)),
    flag: (name) => required(name, node[name], (value) => typeof value === 'boolean'),
    number: (name) => required(name, node[name], isFinite),
    numbers: (name) => required(name, node[name], (value) => Array.isArray(value) && value.every(isFinite)),
    whole: (name) => required(name, node[name], isWhole),
    count: (name) => required(name, node[name], (value): value is number => isWhole(value) && value > 0),
    range: (name) => {
      const { file, start, end } = required(name, node[name], isFields)
      const range = {
        file: required(name, file, isWhole),
        start: required(name, start, isWhole),
        end: required(name, end, isWhole),
      }
      if (range.end < range.start) throw new RangeError(`${name} ends at ${range.end} and starts at ${range.start}`)
      return range
    },
    shape: (name) =>
      required(
        name,
        node[name],
        (value): value is Shape => Array.isArray(value) && value.length <= maxDimensions && value.every(isWhole),
      ),
  }
  return fields
}

/** Whether a value is an object with fields. */
export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isFinite(value: unknown): value is number {
  return Number.isFinite(value)
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
