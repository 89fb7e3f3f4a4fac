import { asArray, asObject, type JsonObject } from './json.js'

/** Real ones nest once or twice. */
const maxDepth = 8

/**
 * The steps of a part of tokenizer.json in a row, however they are nested.
 * @param list the field in which a sequence of this part keeps its steps.
 */
export function stepsOf(value: unknown, list: 'normalizers' | 'pretokenizers' | 'processors', depth = 0): JsonObject[] {
  const step = asObject(value)
  if (step === undefined) return []
  if (step['type'] !== 'Sequence' || depth === maxDepth) return [step]
  return (asArray(step[list]) ?? []).flatMap((inner) => stepsOf(inner, list, depth + 1))
}
