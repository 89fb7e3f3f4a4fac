import { readFile } from 'node:fs/promises'

/**
 * Architectures that a libllama knows, read from its strings: the table LLM_ARCH_NAMES begins with clip and llama and ends with (unknown).
 * Names that are the end of another string are not in it, as linkers keep one copy of them; undefined where there is no such table.
 */
export async function architecturesIn(library: string): Promise<readonly string[] | undefined> {
  const bytes = await readFile(library).catch(() => Buffer.alloc(0))
  const start = bytes.indexOf('\0clip\0llama\0')
  const end = bytes.indexOf('\0(unknown)\0', start)
  if (start < 0 || end < 0 || end - start > 65_536) return undefined
  return bytes
    .subarray(start + 1, end)
    .toString('latin1')
    .split('\0')
    .filter((name) => name !== '')
}
