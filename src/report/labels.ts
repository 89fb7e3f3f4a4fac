import { type Frame, px } from './chart.js'
import type { Point } from './marks.js'
import { type Markup, markup } from './markup.js'

/** Dots that stand for one thing each: filled, or hollow for what stands back. */
export function points(
  frame: Frame,
  all: readonly (Point & { readonly title: string })[],
  series: number,
  isFilled: boolean,
): Markup[] {
  return all
    .filter(({ x, y }) => Number.isFinite(frame.x(x)) && Number.isFinite(frame.y(y)))
    .map(
      ({ x, y, title }) =>
        markup`<circle class="dot ${isFilled ? 'full' : 'hollow'} s${series}" cx="${frame.x(x)}" cy="${frame.y(y)}" r="${isFilled ? 5.5 : 4.5}"><title>${title}</title></circle>`,
    )
}

/** The standard error of a point, as a line up and down from it. */
export function whiskers(frame: Frame, { x, y, error }: Point & { readonly error: number }, series: number): Markup[] {
  const [top, bottom] = [frame.y(y + error), frame.y(y - error)]
  if (!(Number.isFinite(top) && Number.isFinite(bottom))) return []
  const ends = { top: Math.max(top, frame.top), bottom: Math.min(bottom, frame.bottom) }
  return [markup`<line class="whisker s${series}" x1="${frame.x(x)}" x2="${frame.x(x)}" y1="${ends.top}" y2="${ends.bottom}"/>`]
}

/** A label and the point that it belongs to. */
export interface Label extends Point {
  readonly words: string
  readonly isBack: boolean
}

interface Box {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

/** Names beside points, where there is room; those that come first are placed first, and a name without room is left to the table. */
export function labels(frame: Frame, all: readonly Label[]): Markup[] {
  const taken: Box[] = all.map(({ x, y }) => box(frame.x(x) - 5, frame.y(y) - 5, 10, 10))
  return all.flatMap(({ x, y, words, isBack }) => {
    const [at, height] = [{ x: frame.x(x), y: frame.y(y) }, 13]
    const width = labelWidth(words)
    const places = [
      { left: at.x + 7, top: at.y - height - 4 },
      { left: at.x + 9, top: at.y - height / 2 },
      { left: at.x - width - 9, top: at.y - height / 2 },
      { left: at.x - width - 6, top: at.y + 5 },
      { left: at.x - width / 2, top: at.y - height - 9 },
      { left: at.x - width / 2, top: at.y + 9 },
    ]
    const found = places
      .map(({ left, top }) => box(left, top, width, height))
      .find((one) => isInside(one, frame) && taken.every((other) => !overlaps(one, other)))
    if (found === undefined) return []
    taken.push(found)
    return [markup`<text class="label ${isBack ? 'back' : ''}" x="${px(found.left)}" y="${px(found.bottom - 3)}">${words}</text>`]
  })
}

/** About as wide as words are, in pixels. */
function labelWidth(words: string): number {
  return 6.9 * words.length
}

function box(left: number, top: number, width: number, height: number): Box {
  return { left, right: left + width, top, bottom: top + height }
}

function isInside(one: Box, frame: Frame): boolean {
  return one.left >= frame.left && one.right <= frame.right + 10 && one.top >= frame.top - 4 && one.bottom <= frame.bottom
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}
