/** Units of a double array: the root's and one block of 256 for each node. */
const blockSize = 256

/**
 * SentencePiece's precompiled_charsmap, which replaces texts: the size of a double array in bytes, the array, and what stands in the place
 * of each text. Source: Darts-clone (include/darts.h), sentencepiece's normalizer.cc.
 */
export function precompiledCharsmap(replacements: Readonly<Record<string, string>>): Uint8Array {
  const pool: number[] = []
  const root: Node = { children: new Map() }
  for (const [text, replacement] of Object.entries(replacements)) {
    let node = root
    for (const byte of Buffer.from(text)) {
      const next: Node = node.children.get(byte) ?? { children: new Map() }
      node.children.set(byte, next)
      node = next
    }
    node.value = pool.length
    pool.push(...Buffer.from(replacement), 0)
  }
  const units: number[] = []
  place(root, 0, 0, units)
  const array = Uint32Array.from({ length: units.length }, (_, index) => units[index] ?? 0)
  return Uint8Array.from([...new Uint8Array(Uint32Array.of(array.byteLength).buffer), ...new Uint8Array(array.buffer), ...pool])
}

interface Node {
  readonly children: Map<number, Node>
  value?: number
}

/** Puts a node at a place, and its children into a block of their own. */
function place(node: Node, at: number, label: number, units: number[]): void {
  const base = Math.ceil((units.length + 1) / blockSize) * blockSize
  units[base + blockSize - 1] = 0
  const leaf = node.value !== undefined
  units[at] = (((at ^ base) << 10) | (leaf ? 1 << 8 : 0) | label) >>> 0
  if (node.value !== undefined) units[base] = (node.value | 0x80000000) >>> 0
  for (const [byte, child] of node.children) place(child, base ^ byte, byte, units)
}
