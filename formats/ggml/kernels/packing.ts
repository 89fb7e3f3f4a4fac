// How codes of a super-block are laid into bits: shared by the types that do it alike. Codes are read from `codes`.

import { codes } from './lanes'

/** Two bits a code, from bit `shift` (0, 2 or 4) of it: bits 2 k of byte 32 h + i belong to value 128 h + 32 k + i. 64 bytes. */
// @ts-ignore: decorator
@inline
export function packPairs(to: usize, shift: i32): void {
  const mask = i8x16.splat(3)
  for (let h: usize = 0; h < 2; h++) {
    for (let i: usize = 0; i < 32; i += 16) {
      const from = codes + 128 * h + i
      const a = v128.and(i16x8.shr_u(v128.load(from), shift), mask)
      const b = v128.and(i16x8.shr_u(v128.load(from, 32), shift), mask)
      const c = v128.and(i16x8.shr_u(v128.load(from, 64), shift), mask)
      const d = v128.and(i16x8.shr_u(v128.load(from, 96), shift), mask)
      v128.store(to + 32 * h + i, v128.or(v128.or(a, i16x8.shl(b, 2)), v128.or(i16x8.shl(c, 4), i16x8.shl(d, 6))))
    }
  }
}

/** One bit a code, bit `bit` of it: bit b of byte i belongs to value 32 b + i. 32 bytes. */
// @ts-ignore: decorator
@inline
export function packBits(to: usize, bit: i32): void {
  for (let i: usize = 0; i < 32; i += 16) {
    let bits = i8x16.splat(0)
    for (let b = 0; b < 8; b++) {
      const top = v128.and(i16x8.shl(v128.load(codes + 32 * b + i), 7 - bit), i8x16.splat(-128))
      bits = v128.or(v128.and(i16x8.shr_u(bits, 1), i8x16.splat(0x7f)), top)
    }
    v128.store(to + i, bits)
  }
}

/** The low halves of codes: the first `run` values of each 2 * run in the low half of the bytes, the others in the high half. */
// @ts-ignore: decorator
@inline
export function packNibbles(from: usize, to: usize, count: usize, run: usize): void {
  const mask = i8x16.splat(15)
  for (let p: usize = 0; p < count; p += 2 * run) {
    for (let i: usize = 0; i < run; i += 16) {
      const low = v128.and(v128.load(from + p + i), mask), high = v128.and(v128.load(from + p + i + run), mask)
      v128.store(to + (p >> 1) + i, v128.or(low, i16x8.shl(high, 4)))
    }
  }
}
