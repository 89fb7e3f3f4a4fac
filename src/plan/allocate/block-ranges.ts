/** Where a tensor stands: its block, and which one that is among the blocks that are asked about. */
export interface BlockPlace {
  /** Block number in the model. */
  readonly layer: number
  /** Place of the block among those counted, from 0. */
  readonly index: number
  /** How many are counted. */
  readonly count: number
}

/** Whether a block belongs to a range of blocks. */
export type BlockRange = (place: BlockPlace) => boolean

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
  return (place) => parts.some((holds) => holds(place))
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
