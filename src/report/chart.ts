import { type Markup, markup } from './markup.js'
import type { Scale, Tick } from './scale.js'

/** An axis of a chart. */
export interface Axis {
  readonly title: string
  readonly scale: Scale
}

/** Texts, axes and contents of a chart. */
export interface ChartOptions {
  readonly title: string
  /** What it shows, in a sentence, for those who do not see it. */
  readonly description: string
  readonly x: Axis
  readonly y: Axis
  readonly width?: number
  readonly height?: number
  /** Takes the whole width of the page. */
  readonly isWide?: boolean
  /** Names of the series in the order of their colours; shown where there are several. */
  readonly legend?: readonly string[]
  /** What is drawn, in pixels. */
  readonly marks: (frame: Frame) => readonly Markup[]
}

/** Where values lie on the drawing. */
export interface Frame {
  x(value: number): number
  y(value: number): number
  /** Edges of the plot. */
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

/** Space for the marks of the axes. */
const margin = { left: 62, right: 20, top: 12, bottom: 44 }

/** A figure with axes, a grid and marks as inline SVG; colours come from the page's style. */
export function chart({
  title,
  description,
  x,
  y,
  width = 540,
  height = 250,
  legend = [],
  isWide = false,
  marks,
}: ChartOptions): Markup {
  const [left, right, top, bottom] = [margin.left, width - margin.right, margin.top, height - margin.bottom]
  const frame: Frame = {
    x: (value) => px(left + x.scale(value) * (right - left)),
    y: (value) => px(bottom - y.scale(value) * (bottom - top)),
    left,
    right,
    top,
    bottom,
  }
  const key =
    legend.length < 2
      ? undefined
      : markup`<ul class="key">${legend.map((name, index) => markup`<li class="s${index + 1}">${name}</li>`)}</ul>`
  return markup`<figure class="chart${isWide ? ' wide' : ''}"><figcaption><h3>${title}</h3><p>${description}</p>${key}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}: ${description}">
<g class="grid">${y.scale.ticks.map(({ value }) => markup`<line x1="${left}" x2="${right}" y1="${frame.y(value)}" y2="${frame.y(value)}"/>`)}</g>
<g class="marks">${marks(frame)}</g>
<g class="axis"><line x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
${x.scale.ticks.map(({ value }) => markup`<line x1="${frame.x(value)}" x2="${frame.x(value)}" y1="${bottom}" y2="${bottom + 4}"/>`)}
${withoutCollisions(frame, x.scale.ticks).map(({ value, label }) => markup`<text class="tick" x="${frame.x(value)}" y="${bottom + 17}" text-anchor="middle">${label}</text>`)}
${y.scale.ticks.map(({ value, label }) => markup`<text class="tick" x="${left - 8}" y="${px(frame.y(value) + 3.5)}" text-anchor="end">${label}</text>`)}
<text class="title" x="${(left + right) / 2}" y="${height - 6}" text-anchor="middle">${x.title}</text>
<text class="title" transform="translate(13 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle">${y.title}</text></g></svg></figure>`
}

/** Ticks whose labels have room beside the one before. */
function withoutCollisions(frame: Frame, ticks: readonly Tick[]): Tick[] {
  let taken = Number.NEGATIVE_INFINITY
  return ticks.filter(({ value, label }) => {
    const half = labelWidth(label) / 2 + 3
    if (frame.x(value) - half < taken || frame.x(value) + half > frame.right + margin.right) return false
    taken = frame.x(value) + half
    return true
  })
}

/** About as wide as a label is, in pixels. */
function labelWidth(label: string): number {
  return 6.4 * label.length
}

/** A tenth of a pixel is enough, and keeps pages small. */
export function px(value: number): number {
  return Math.round(value * 10) / 10
}
