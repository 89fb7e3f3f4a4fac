import { Markup, markup } from './markup.js'
import { style } from './style.js'

/** What the page of a server has beside that of a file. */
export interface ServedPage {
  /** Before the main part: a heading of the site. */
  readonly banner?: Markup
  readonly style?: string
  /** Address of a script of the server; the page works without it. */
  readonly script?: string
  /** Whether the script asks the server for more. */
  readonly fetches?: boolean
  /** At the end of the head. */
  readonly head?: Markup
}

/** A whole page: one file with its style and pictures in it, without a script, that asks nothing of a network. */
export function page(title: string, body: readonly (Markup | undefined)[], served?: ServedPage): string {
  const own = served === undefined ? '' : " 'self'; form-action 'self'; script-src 'self'; base-uri 'none'"
  const connects = served?.fetches === true ? "; connect-src 'self'" : ''
  const csp = `default-src 'none'; style-src 'unsafe-inline'; img-src data:${own}${connects}`
  const script = served?.script === undefined ? undefined : markup`<script src="${served.script}" defer></script>`
  return markup`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="${csp}"/><meta name="color-scheme" content="light dark"/><meta name="generator" content="mq"/>
<title>${title}</title><style>${new Markup(style + (served?.style ?? ''))}</style>${script}${served?.head}</head>
<body>${served?.banner}<main${served === undefined ? undefined : markup` id="main"`}>
${body}
</main></body></html>
`.text
}

/** A section of a page; what is undefined is left out. */
export function section(title: string, ...content: readonly (Markup | undefined)[]): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>\n`
}

/** Content of a table cell. */
export type Cell = string | Markup | undefined

/** Columns whose names are `left` hold words; the rest are figures, lined up on the right. The first column heads its row. */
export function table(
  columns: readonly { readonly title: string; readonly left?: boolean }[],
  rows: readonly { readonly cells: readonly Cell[]; readonly isBack?: boolean }[],
): Markup {
  const side = (index: number): string => (index === 0 || columns[index]?.left === true ? 'left' : 'right')
  return markup`<div class="scroll"><table><thead><tr>${columns.map(({ title }, index) => markup`<th scope="col" class="${side(index)}">${title}</th>`)}</tr></thead>
<tbody>${rows.map(
    ({ cells, isBack = false }) =>
      markup`<tr class="${isBack ? 'back' : ''}">${cells.map((cell, index) => (index === 0 ? markup`<th scope="row" class="left">${cell}</th>` : markup`<td class="${side(index)}">${cell}</td>`))}</tr>\n`,
  )}</tbody></table></div>`
}

/** Names and what is to be said of them. */
export function facts(rows: readonly (readonly [string, Cell])[]): Markup {
  return markup`<dl class="facts">${rows.filter(([, value]) => value !== undefined).map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`
}

/** The few figures that matter most, large. */
export function tiles(rows: readonly { readonly name: string; readonly value: string; readonly note?: Cell }[]): Markup {
  return markup`<dl class="tiles">${rows.map(({ name, value, note }) => markup`<div><dt>${name}</dt><dd class="value">${value}</dd><dd class="note">${note}</dd></div>`)}</dl>`
}
