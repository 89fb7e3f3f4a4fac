/** Parsed JSON of a tokenizer's files is not trusted: these read it one step at a time, undefined where it is something else. */
export type JsonObject = Readonly<Record<string, unknown>>

/** A JSON object; undefined for anything else. */
export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined
}

/** A JSON array; undefined for anything else. */
export function asArray(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined
}

/** A string; undefined for anything else. */
export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A token id, or another whole number from 0 on. */
export function asIndex(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

/** Whether a text can be written as UTF-8: JSON can hold half of a surrogate pair. */
export function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
