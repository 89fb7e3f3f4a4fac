import { groupBy } from '../../collections/index.js'
import { type Markup, markup, table } from '../../report/index.js'
import { formatBytes } from '../../terminal/index.js'
import type { ListedModel, RegistryListing } from '../list.js'
import { sitePage } from './site.js'

const modelsOnPage = 100
const tagsShown = 8

/** Search words and page number, counted from 1. */
export interface HomeRequest {
  readonly query: string
  readonly page: number
}

/** Renders the list of all models, or of those that the search finds. */
export function homePage({ models, damaged }: RegistryListing, { query, page }: HomeRequest): string {
  const repositories = groupBy(models, ({ name }) => name.slice(0, name.indexOf(':')))
  const found = [...repositories].filter(([name, tags]) => matches(name, tags, query))
  const pages = Math.max(1, Math.ceil(found.length / modelsOnPage))
  const shown = found.slice((page - 1) * modelsOnPage, page * modelsOnPage)
  const title = query === '' ? 'Models' : `Models that match “${query}”`
  const lead =
    repositories.size === 0
      ? markup`<p class="lead">There are no models yet. Publish one: <code>mq publish MODEL.gguf NAMESPACE/NAME:TAG</code></p>`
      : markup`<p class="lead">${found.length} of ${repositories.size} models, ${models.length} tags</p>`
  return sitePage(
    query === '' ? 'mq registry' : `${query}, mq registry`,
    [
      markup`<h1>${title}</h1>${lead}`,
      shown.length === 0 ? undefined : modelTable(shown),
      pages > 1 ? pageLinks(query, page, pages) : undefined,
      damaged.length === 0
        ? undefined
        : markup`<section><h2>Damaged</h2><ul>${damaged.map(({ name }) => markup`<li>${name}: run <code>mq registry fsck</code></li>`)}</ul></section>`,
    ],
    query,
  )
}

function matches(name: string, tags: readonly ListedModel[], query: string): boolean {
  const text =
    `${name} ${tags.map((tag) => `${tag.name} ${tag.architecture ?? ''} ${tag.quantization ?? ''}`).join(' ')}`.toLowerCase()
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}

function modelTable(repositories: readonly (readonly [string, readonly ListedModel[]])[]): Markup {
  const columns = [
    { title: 'model' },
    { title: 'architecture', left: true },
    { title: 'tags', left: true },
    { title: 'size' },
    { title: 'measured' },
  ]
  const rows = repositories.map(([name, tags]) => {
    const sizes = tags.map(({ sizeBytes }) => sizeBytes)
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)]
    const architectures = [...new Set(tags.flatMap(({ architecture }) => architecture ?? []))]
    const measured = tags.filter(({ verified }) => verified).length
    const more = tags.length > tagsShown ? `, and ${tags.length - tagsShown} more` : ''
    return {
      cells: [
        markup`<a href="/${name}">${name}</a>`,
        architectures.join(', '),
        `${tags
          .map((tag) => tag.name.slice(name.length + 1))
          .toSorted()
          .slice(0, tagsShown)
          .join(', ')}${more}`,
        least === most ? formatBytes(most) : `${formatBytes(least)} to ${formatBytes(most)}`,
        measured === 0 ? 'no' : `${measured} of ${tags.length}`,
      ],
    }
  })
  return table(columns, rows)
}

function pageLinks(query: string, page: number, pages: number): Markup {
  const to = (number: number): string => `/?q=${encodeURIComponent(query)}&page=${number}`
  return markup`<nav class="pages" aria-label="Pages">${page > 1 ? markup`<a rel="prev" href="${to(page - 1)}">Previous</a>` : undefined}
<span>Page ${page} of ${pages}</span>${page < pages ? markup`<a rel="next" href="${to(page + 1)}">Next</a>` : undefined}</nav>`
}
