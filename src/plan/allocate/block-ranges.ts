/** Position of a tensor's block among the blocks in question. */
export interface BlockPosition {
  /** Block number in the model. */
  readonly layer: number
  /** Index of the block among those in question, from 0. */
  readonly index: number
  /** Number of blocks in question. */
  readonly count: number
}

/** Whether a block belongs to a range of blocks. */
export type BlockRange = (position: BlockPosition) => boolean

const numbers = /^(\d{1,6})(?:-(\d{1,6}))?$/
const ends = /^(first|last) (\d{1,6})(?:\/(\d{1,6}))?$/

/**
 * Reads a range of blocks: `3`, `3-5`, `first 3`, `last 1/8`, or several of them with commas between. Numbers are those of blocks in the
 * model; `first` and `last` count among the blocks in question, shares rounded up, so that the least is one block.
 * @returns undefined where the text is no such range.
 */
export function parseBlockRange(text: string): BlockRange | undefined {
  const parts = text.split(',').map((part) => parsePart(part.trim()))
  if (!parts.every((part) => part !== undefined)) return undefined
  return (position) => parts.some((holds) => holds(position))
}

function parsePart(part: string): BlockRange | undefined {
  const [, from, to = from] = numbers.exec(part) ?? []
  if (from !== undefined) {
    const [low, high] = [Number(from), Number(to)]
    return low <= high ? ({ layer }) => layer >= low && layer <= high : undefined
  }
  const [, end, amount, whole] = ends.exec(part) ?? []
  if (end === undefined || whole === '0') return undefined
  const wanted = (count: number): number =>
    whole === undefined ? Number(amount) : Math.ceil((Number(amount) * count) / Number(whole))
  return ({ index, count }) => (end === 'first' ? index < wanted(count) : index >= count - wanted(count))
}
