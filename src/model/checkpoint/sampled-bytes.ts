import type { ByteSource } from '../../../formats/byte-source.js'
import type { CheckpointFolder } from './folder.js'

const sampleBytes = 65_536
const maxSamples = 8

/** Bytes `start` to `end` of one of a checkpoint's files. */
export interface SampledRange {
  readonly file: string
  readonly start: number
  readonly end: number
}

/** Compares two ranges of equal length where they are longest apart: the first bytes, the last, and some between. */
export async function sampledBytesAreEqual(folder: CheckpointFolder, one: SampledRange, two: SampledRange): Promise<boolean> {
  const length = one.end - one.start
  const bytes = Math.min(sampleBytes, length)
  const count = Math.min(maxSamples, Math.ceil(length / sampleBytes))
  const sources: ByteSource[] = []
  try {
    const first = await folder.open(one.file)
    sources.push(first)
    const second = one.file === two.file ? first : await folder.open(two.file)
    if (second !== first) sources.push(second)
    for (let index = 0; index < count; index++) {
      const at = count === 1 ? 0 : Math.floor(((length - bytes) * index) / (count - 1))
      const read = (source: ByteSource, { start }: SampledRange): Promise<Uint8Array> =>
        source.slice(start + at, start + at + bytes)
      const [a, b] = await Promise.all([read(first, one), read(second, two)])
      if (Buffer.compare(a, b) !== 0) return false
    }
    return true
  } finally {
    await Promise.all(sources.map((source) => source.close()))
  }
}
