import type { MetadataValue } from '../../../formats/gguf/index.js'

/** As much of a parser's message as a note repeats. */
const maxMessage = 200

/** Notes on the chat templates of a model's metadata that cannot be parsed as Jinja; they are kept as they are. */
export async function chatTemplateNotes(entries: readonly (readonly [string, MetadataValue])[]): Promise<string[]> {
  const templates = entries.flatMap(([key, { value }]) => {
    const [, name] = /^tokenizer\.chat_template(?:\.(.+))?$/.exec(key) ?? [undefined]
    return key.startsWith('tokenizer.chat_template') && typeof value === 'string' ? [{ name, source: value }] : []
  })
  if (templates.length === 0) return []
  // Loaded only where there is a template.
  const { Template } = await import('@huggingface/jinja')
  const parse = (source: string): unknown => new Template(source)
  return templates.flatMap(({ name, source }) => {
    try {
      parse(source)
      return []
    } catch (error) {
      const which = name === undefined ? 'The chat template' : `The chat template "${name}"`
      return [`${which} cannot be parsed as Jinja (${problemOf(error)}): it is kept as it is, and chats with the model may fail.`]
    }
  })
}

/** The parser reads on behind the last token of a template that is cut off, and fails with an error of JavaScript's. */
function problemOf(error: unknown): string {
  if (error instanceof TypeError) return 'it ends where more is expected'
  return (error instanceof Error ? error.message : String(error)).split('\n', 1).join('').slice(0, maxMessage)
}
