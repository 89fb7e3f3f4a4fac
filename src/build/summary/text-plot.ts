/** A point of a plot: a letter stands for it. */
export interface PlotPoint {
  readonly x: number
  readonly y: number
}

const [width, height] = [56, 14] as const
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The letter of a point, by its place in the list. */
export function letterOf(index: number): string {
  return letters[index % letters.length] ?? '*'
}

/**
 * A plot of characters, for logs and Markdown, in which no picture is shown everywhere: x grows to the right, y upwards, in equal factors.
 * Points that fall together show the last letter.
 * @param points with y above 0.
 */
export function textPlot(
  points: readonly PlotPoint[],
  {
    x: xTitle,
    y: yTitle,
    formatX,
    formatY,
  }: { x: string; y: string; formatX: (x: number) => string; formatY: (y: number) => string },
): string {
  const shown = points.map((point, index) => ({ ...point, index })).filter(({ y }) => y > 0)
  if (shown.length === 0) return ''
  const [left, right] = spread(shown.map(({ x }) => x))
  const [low, high] = spread(shown.map(({ y }) => Math.log(y)))
  const grid = Array.from({ length: height }, () => Array.from({ length: width }, () => ' '))
  for (const { x, y, index } of shown) {
    const column = Math.round(((x - left) / (right - left)) * (width - 1))
    const row = height - 1 - Math.round(((Math.log(y) - low) / (high - low)) * (height - 1))
    const cells = grid[row] as string[]
    cells[column] = letterOf(index)
  }
  const ends = new Map([
    [0, formatY(Math.exp(high))],
    [Math.floor((height - 1) / 2), formatY(Math.exp((low + high) / 2))],
    [height - 1, formatY(Math.exp(low))],
  ])
  const room = Math.max(...[...ends.values()].map((text) => text.length))
  const lines = grid.map((cells, row) => `${(ends.get(row) ?? '').padStart(room)} |${cells.join('').trimEnd()}`)
  const [from, to] = [formatX(left), formatX(right)]
  return [
    yTitle,
    ...lines,
    `${' '.repeat(room)} +${'-'.repeat(width)}`,
    `${' '.repeat(room + 2)}${from}${to.padStart(width - from.length)}`,
    `${' '.repeat(room + 2)}${xTitle}`,
  ].join('\n')
}

/** The ends of values, with some room on both sides. */
function spread(values: readonly number[]): readonly [number, number] {
  const [least, greatest] = [Math.min(...values), Math.max(...values)]
  const room = Math.max((greatest - least) * 0.04, Math.abs(greatest) * 1e-6, 1e-9)
  return [least - room, greatest + room]
}
