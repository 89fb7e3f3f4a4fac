import { open } from 'node:fs/promises'
import { fixedBytes, type LogitsHeader, magic, rowOffset } from './layout.js'

/** A file of logits in the making. */
export interface LogitsWriter {
  /** Writes consecutive rows, in any order of calls; see encodeRow. The array may be used again once the promise is fulfilled. */
  writeRows(first: number, rows: Uint16Array): Promise<void>
  /** Flushes to the disk and closes. The file is whole when every row was written. */
  close(): Promise<void>
}

/** Creates a file of logits and writes all but its rows. Whoever calls gives it its final name when it is whole. */
export async function createLogitsFile(path: string, header: LogitsHeader): Promise<LogitsWriter> {
  const { contextLength, vocabulary, chunks, tokens } = header
  if (tokens.length !== contextLength * chunks) throw new RangeError(`${tokens.length} tokens in ${chunks} chunks`)
  const file = await open(path, 'w')
  const write = async (bytes: Uint8Array, position: number): Promise<void> => {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done)
      done += bytesWritten
    }
  }
  try {
    const fixed = Buffer.alloc(fixedBytes)
    fixed.write(magic, 'latin1')
    for (const [index, value] of [contextLength, vocabulary, chunks].entries())
      fixed.writeInt32LE(value, magic.length + 4 * index)
    await write(fixed, 0)
    await write(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength), fixedBytes)
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    writeRows: (first, rows) => write(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), rowOffset(header, first)),
    async close() {
      try {
        await file.sync()
      } finally {
        await file.close()
      }
    },
  }
}
