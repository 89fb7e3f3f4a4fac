/** The words of a text, for lists of names that would fill pages otherwise. */
export function words(text: string): string[] {
  return text.trim().split(/\s+/)
}
