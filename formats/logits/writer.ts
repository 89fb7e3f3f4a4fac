import { writeFully } from '../file-bytes.js'
import { beginFile } from '../whole-file.js'
import { fixedBytes, type LogitsHeader, magic, rowOffset } from './layout.js'

/** A file of logits in the making. */
export interface LogitsWriter {
  /** Writes consecutive rows, in any order of calls; see encodeRow. The array may be used again once the promise is fulfilled. */
  writeRows(first: number, rows: Uint16Array): Promise<void>
  /** Gives the file its name: every row was written. @throws Node's own errors. */
  finish(): Promise<void>
  /** Removes the file unless it is finished. */
  discard(): Promise<void>
}

/** Creates a file of logits, under the name `PATH.partial` until it is finished, and writes all but its rows. @throws Node's own errors. */
export async function createLogitsFile(path: string, header: LogitsHeader): Promise<LogitsWriter> {
  const { contextLength, vocabulary, chunks, tokens } = header
  if (tokens.length !== contextLength * chunks) throw new RangeError(`${tokens.length} tokens in ${chunks} chunks`)
  const file = await beginFile(path)
  const write = (bytes: Uint8Array, position: number): Promise<void> => writeFully(file.handle, bytes, position)
  try {
    const fixed = Buffer.alloc(fixedBytes)
    fixed.write(magic, 'latin1')
    for (const [index, value] of [contextLength, vocabulary, chunks].entries())
      fixed.writeInt32LE(value, magic.length + 4 * index)
    await write(fixed, 0)
    await write(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength), fixedBytes)
  } catch (error) {
    await file.discard()
    throw error
  }
  return {
    writeRows: (first, rows) => write(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), rowOffset(header, first)),
    finish: () => file.finish(),
    discard: () => file.discard(),
  }
}
