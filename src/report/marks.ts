import { type Frame, px } from './chart.js'
import { type Markup, markup } from './markup.js'

/** A point, in values of the axes. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** Series count from 1; their colours are in the page's style, 0 is that of the reference and of what stands back. */
type Series = number

/** A line through points; where one is no number, the line is broken. */
export function line(frame: Frame, points: readonly Point[], series: Series): Markup {
  return markup`<path class="line s${series}" d="${pathOf(frame, points)}"/>`
}

/** The area between two lines over the same places, such as a standard error. */
export function band(frame: Frame, upper: readonly Point[], lower: readonly Point[], series: Series): Markup {
  const path = pathOf(frame, [...upper, ...[...lower].reverse()])
  return markup`<path class="band s${series}" d="${path === '' ? '' : `${path}Z`}"/>`
}

/** Dots, each with a title that is shown where the pointer rests. */
export function dots(
  frame: Frame,
  points: readonly (Point & { readonly title?: string })[],
  series: Series,
  radius = 2,
): Markup[] {
  return points
    .filter(({ x, y }) => Number.isFinite(frame.x(x)) && Number.isFinite(frame.y(y)))
    .map(
      ({ x, y, title }) =>
        markup`<circle class="dot s${series}" cx="${frame.x(x)}" cy="${frame.y(y)}" r="${radius}">${title === undefined ? undefined : markup`<title>${title}</title>`}</circle>`,
    )
}

/** A bar of a histogram, in values of the axes. */
export interface Bar {
  readonly from: number
  readonly to: number
  readonly value: number
  readonly title?: string
}

/** Bars from 0 to their values. */
export function bars(frame: Frame, all: readonly Bar[], series: Series): Markup[] {
  const zero = frame.y(0)
  return all
    .filter(({ value }) => value !== 0)
    .map(({ from, to, value, title }) => {
      const [left, right, top] = [frame.x(from), frame.x(to), frame.y(value)]
      const gap = right - left > 4 ? 1 : 0
      return markup`<rect class="bar s${series}" x="${px(left + gap / 2)}" y="${Math.min(top, zero)}" width="${px(Math.max(right - left - gap, 0.5))}" height="${px(Math.max(Math.abs(zero - top), 0.5))}">${title === undefined ? undefined : markup`<title>${title}</title>`}</rect>`
    })
}

/** The outline of a histogram, for one that lies over another. */
export function outline(frame: Frame, all: readonly Bar[], series: Series): Markup {
  const points = all.flatMap(({ from, to, value }) => [
    { x: from, y: value },
    { x: to, y: value },
  ])
  return line(frame, points, series)
}

/** A line across the plot at a height, with words at its right end. */
export function level(frame: Frame, value: number, words: string): Markup {
  const y = frame.y(value)
  return markup`<line class="level" x1="${frame.left}" x2="${frame.right}" y1="${y}" y2="${y}"/><text class="note" x="${frame.right - 4}" y="${px(y - 5)}" text-anchor="end">${words}</text>`
}

/** A line down the plot at a place, with words beside its upper end; `row` moves these out of another's way. */
export function upright(frame: Frame, value: number, words: string, series: Series, row = 0): Markup {
  const x = frame.x(value)
  const turned = x > frame.right - 120
  return markup`<line class="upright s${series}" x1="${x}" x2="${x}" y1="${frame.top}" y2="${frame.bottom}"/><text class="note" x="${px(x + (turned ? -5 : 5))}" y="${frame.top + 11 + 14 * row}" text-anchor="${turned ? 'end' : 'start'}">${words}</text>`
}

function pathOf(frame: Frame, points: readonly Point[]): string {
  let path = ''
  let isBroken = true
  for (const { x, y } of points) {
    const [left, top] = [frame.x(x), frame.y(y)]
    if (Number.isFinite(left) && Number.isFinite(top)) {
      path += `${isBroken ? 'M' : 'L'}${left} ${top}`
      isBroken = false
    } else isBroken = true
  }
  return path
}
