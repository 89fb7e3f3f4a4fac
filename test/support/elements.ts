export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
}

/** Elements that HTML never closes. */
const empty = new Set(['meta', 'br', 'hr', 'img', 'input', 'link'])

/**
 * Elements of a page in their order, read strictly: every element is closed, in order, every attribute is quoted, and there is no bare
 * `<` or `&`, so that readers of XML take it as readers of HTML do.
 */
export function elementsOf(text: string): Element[] {
  const elements: Element[] = []
  const open: string[] = []
  const token = /<!DOCTYPE html>|<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/y
  while (token.lastIndex < text.length) {
    const at = token.lastIndex
    const match = token.exec(text)
    if (match === null) throw new Error(`no markup at ${at}: ${text.slice(at, at + 60)}`)
    const [, closing, name, attributes = '', selfClosing, words] = match
    if (/&(?!(?:amp|lt|gt|quot|#39);)/.test(`${attributes}${open.at(-1) === 'style' ? '' : (words ?? '')}`))
      throw new Error(`a bare & at ${at}`)
    if (name === undefined) continue
    if (closing === '/') {
      const last = open.pop()
      if (last !== name) throw new Error(`${last} is closed by ${name} at ${at}`)
      continue
    }
    const pairs = [...attributes.matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value] as const)
    elements.push({ name, attributes: Object.fromEntries(pairs) })
    if (selfClosing !== '/' && !empty.has(name)) open.push(name)
  }
  if (open.length > 0) throw new Error(`${open.join(', ')} stays open`)
  return elements
}
