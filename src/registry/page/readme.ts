import { posix } from 'node:path'
import type { RendererRule } from 'markdown-it'
import * as v from 'valibot'
import { isRelativePath } from '../../files/index.js'
import { Markup } from '../../report/index.js'

/** Maximum size; longer model cards are truncated. */
export const maxReadmeBytes = 1 << 20

/** Fields of a model card's front matter that the page shows. Source: model-cards of the Hugging Face hub. */
export interface CardFacts {
  readonly license?: string
  readonly baseModel?: string
}

const short = v.pipe(v.string(), v.maxLength(200))
const factsSchema = v.looseObject({
  license: v.optional(v.fallback(v.optional(short), undefined)),
  license_name: v.optional(v.fallback(v.optional(short), undefined)),
  base_model: v.optional(v.fallback(v.optional(v.union([short, v.array(short)])), undefined)),
})

/**
 * Renders a model card. HTML in it is shown as text, `javascript:` URLs are not linked, and images come from the repository only.
 * @param filesAt where the repository's files are, such as `/kjv/llama/resolve/main`.
 */
export async function renderReadme(text: string, filesAt: string): Promise<{ html: Markup; facts: CardFacts }> {
  const [{ default: MarkdownIt }, { parse }] = await Promise.all([import('markdown-it'), import('yaml')])
  const [, front = '', body = text] = /^---\r?\n([\s\S]*?)\r?\n---\r?\n([\s\S]*)$/.exec(text) ?? []
  // Comments and the wrappers that center text would be shown as text.
  const plain = body.replaceAll(/<!--[\s\S]*?-->/g, '').replaceAll(/^\s*<\/?(?:div|p|center)(?:\s[^<>]*)?>\s*$/gim, '')
  const markdown = new MarkdownIt({ html: false, linkify: true })
  const { renderer } = markdown
  markdown.core.ruler.push('addresses', (state) => {
    for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
      if (token.type === 'link_open') {
        const href = String(token.attrGet('href') ?? '')
        token.attrSet('href', localAddress(href, filesAt) ?? href)
        token.attrSet('rel', 'nofollow noopener noreferrer')
      }
      if (token.type === 'image') token.attrSet('src', localAddress(String(token.attrGet('src') ?? ''), filesAt) ?? '')
    }
  })
  // An image from another host would disclose the reader to it.
  renderer.rules['image'] = (tokens, index, options, environment, self) => {
    const token = tokens[index]
    if (token?.attrGet('src') !== '') return self.renderToken(withAlt(tokens, index, options, environment, self), index, options)
    return markdown.utils.escapeHtml(token.content === '' ? '[picture]' : `[${token.content}]`)
  }
  // The page has headings of its own above these.
  for (const rule of ['heading_open', 'heading_close'] as const) {
    renderer.rules[rule] = (tokens, index, options, _, self) => {
      const token = tokens[index]
      if (token !== undefined) token.tag = `h${Math.min(6, Number(token.tag.slice(1)) + 2)}`
      return self.renderToken(tokens, index, options)
    }
  }
  return { html: new Markup(markdown.render(plain)), facts: factsOf(front, parse) }
}

/** Parses the front matter of a model card. */
export async function cardFacts(text: string): Promise<CardFacts> {
  const { parse } = await import('yaml')
  return factsOf(/^---\r?\n([\s\S]*?)\r?\n---\r?\n/.exec(text)?.[1] ?? '', parse)
}

function withAlt(...[tokens, index, options, environment, self]: Parameters<RendererRule>): typeof tokens {
  const token = tokens[index]
  token?.attrSet('alt', self.renderInlineAsText(token.children ?? [], options, environment))
  token?.attrSet('loading', 'lazy')
  return tokens
}

/** Returns the URL of a repository file from its path relative to the root; undefined for other addresses. */
function localAddress(address: string, filesAt: string): string | undefined {
  if (/^(?:[a-z][a-z0-9+.-]*:|\/|#|\?)/i.test(address) || address === '') return undefined
  const path = posix.normalize(address.replace(/[?#].*$/, ''))
  return isRelativePath(decode(path)) ? `${filesAt}/${path}` : undefined
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return ''
  }
}

function factsOf(front: string, parse: (text: string) => unknown): CardFacts {
  try {
    const { license, license_name: name, base_model: base } = v.parse(factsSchema, parse(front))
    return { license: name ?? license, baseModel: Array.isArray(base) ? base.join(', ') : base }
  } catch {
    return {}
  }
}
