// Rows of the types with super-blocks of 256 values.

/**
 * Has all super-blocks of some rows encoded, one after the other.
 * @param importance f32, a row of them; 0 for none. @param bytes of a block.
 * @param encode writes the block of 256 values; `weights`: the importance of their columns, 0 for none.
 */
export function eachSuperBlock(
  source: usize, target: usize, rows: i32, rowLength: i32, importance: usize, bytes: usize,
  encode: (source: usize, target: usize, weights: usize) => void,
): void {
  for (let row = 0; row < rows; row++) {
    for (let block: usize = 0; block < <usize>rowLength >> 8; block++) {
      encode(source, target, importance == 0 ? 0 : importance + 1024 * block)
      source += 1024
      target += bytes
    }
  }
}
