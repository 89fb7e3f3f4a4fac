// One try of a group in error feedback (see feedback-group.ts): the codes of its columns at given scales and minimums, and their error,
// for sixteen rows.

import { add, clamp, mul, nearest, splat, sub } from './lanes'
import { aims, codes, lineOf } from './feedback-memory'

/** Lines: what scale and minimum amount to, one over the scale, and the error that the codes leave. */
export const scale: usize = memory.data(64, 16)
export const inverse: usize = memory.data(64, 16)
export const offset: usize = memory.data(64, 16)
export const error: usize = memory.data(64, 16)

/** Columns of a group: 16 or 32. */
export let columnsOfGroup: usize = 32
/** Bounds of the codes, as numbers to multiply. */
let lowest: f32 = 0
let highest: f32 = 0
/** Codes stand for IQ4_NL's levels. */
export let hasLevels: bool = false
export let hasMinimum: bool = false

/** Says what the codes of the type are. */
export function useCodes(columns: usize, low: f32, high: f32, minimum: bool, levels: bool): void {
  columnsOfGroup = columns
  lowest = low
  highest = high
  hasMinimum = minimum
  hasLevels = levels
}

/**
 * Finds the codes, their error and the errors of the columns.
 * @param columns, within, curvatures see the tables in feedback.ts. @param into where the columns' errors go. @param keep stores the codes.
 */
export function measure(columns: usize, within: usize, curvatures: usize, into: usize, keep: bool): void {
  // Written out for either kind, since it is here that the time goes.
  if (hasMinimum) measureKind(columns, within, curvatures, into, keep, true)
  else measureKind(columns, within, curvatures, into, keep, false)
}

// @ts-ignore: decorator
@inline
function measureKind(columns: usize, within: usize, curvatures: usize, into: usize, keep: bool, shifted: bool): void {
  const n = columnsOfGroup
  for (let r: usize = 0; r < 64; r += 16) v128.store(error + r, splat(0))
  for (let j: usize = 0; j < n; j += 2) {
    const aim = aims + 64 * j
    let a0 = v128.load(aim)
    let a1 = v128.load(aim, 16)
    let a2 = v128.load(aim, 32)
    let a3 = v128.load(aim, 48)
    let b0 = v128.load(aim, 64)
    let b1 = v128.load(aim, 80)
    let b2 = v128.load(aim, 96)
    let b3 = v128.load(aim, 112)
    let fa = within + 4 * n * j
    let fb = fa + 4 * n
    const line = into + 64 * j
    for (let e = into; e < line; e += 64) {
      const a = v128.load32_splat(fa)
      const b = v128.load32_splat(fb)
      const e0 = v128.load(e)
      const e1 = v128.load(e, 16)
      const e2 = v128.load(e, 32)
      const e3 = v128.load(e, 48)
      a0 = add(a0, mul(e0, a))
      b0 = add(b0, mul(e0, b))
      a1 = add(a1, mul(e1, a))
      b1 = add(b1, mul(e1, b))
      a2 = add(a2, mul(e2, a))
      b2 = add(b2, mul(e2, b))
      a3 = add(a3, mul(e3, a))
      b3 = add(b3, mul(e3, b))
      fa += 4
      fb += 4
    }
    const c = columns + 4 * j
    const d = curvatures + 4 * j
    chooseColumn(load<u32>(c), v128.load32_splat(d), a0, a1, a2, a3, line, keep, shifted)
    const b = v128.load32_splat(fb)
    b0 = add(b0, mul(v128.load(line), b))
    b1 = add(b1, mul(v128.load(line, 16), b))
    b2 = add(b2, mul(v128.load(line, 32), b))
    b3 = add(b3, mul(v128.load(line, 48), b))
    chooseColumn(load<u32>(c, 4), v128.load32_splat(d, 4), b0, b1, b2, b3, line + 64, keep, shifted)
  }
}

/** The codes of one column for the aims of sixteen rows. */
// @ts-ignore: decorator
@inline
function chooseColumn(
  column: u32, curvature: v128, a0: v128, a1: v128, a2: v128, a3: v128, into: usize, keep: bool, shifted: bool,
): void {
  let q0 = inUnits(a0, 0, shifted)
  let q1 = inUnits(a1, 16, shifted)
  let q2 = inUnits(a2, 32, shifted)
  let q3 = inUnits(a3, 48, shifted)
  if (hasLevels) {
    // The levels of IQ4_NL lie so that of 16 cells of 16 integers none holds more than one boundary between two of them.
    const bytes = toBytes(q0, q1, q2, q3)
    const cell = v128.and(i16x8.shr_u(v128.xor(bytes, i8x16.splat(-128)), 4), i8x16.splat(15))
    const above = i8x16.gt_s(bytes, i8x16.swizzle(boundary, cell))
    const code = i8x16.sub(i8x16.swizzle(codeBelow, cell), above)
    if (keep) v128.store(codes + 16 * <usize>column, code)
    const level = i8x16.swizzle(levels, code)
    const low = i16x8.extend_low_i8x16_s(level)
    const high = i16x8.extend_high_i8x16_s(level)
    q0 = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low))
    q1 = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))
    q2 = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high))
    q3 = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))
  } else if (keep) {
    const bytes = toBytes(q0, q1, q2, q3)
    v128.store(codes + 16 * <usize>column, i8x16.sub(bytes, i8x16.splat(<i8>lowest)))
  }
  const line = lineOf(column)
  finish(a0, q0, curvature, line, into, 0, shifted)
  finish(a1, q1, curvature, line, into, 16, shifted)
  finish(a2, q2, curvature, line, into, 32, shifted)
  finish(a3, q3, curvature, line, into, 48, shifted)
}

const boundary = i8x16(-116, 127, -94, -74, -57, -42, -29, -5, 7, 19, 45, 61, 127, 127, 101, 127)
const codeBelow = i8x16(0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 14, 15)
const levels = i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)

/** Aims as whole numbers of the scale, within the bounds. */
// @ts-ignore: decorator
@inline
function inUnits(aim: v128, r: usize, shifted: bool): v128 {
  const x = mul(shifted ? sub(aim, v128.load(offset + r)) : aim, v128.load(inverse + r))
  return nearest(clamp(x, splat(lowest), splat(highest)))
}

// @ts-ignore: decorator
@inline
function toBytes(a: v128, b: v128, c: v128, d: v128): v128 {
  const low = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(a), i32x4.trunc_sat_f32x4_s(b))
  const high = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(c), i32x4.trunc_sat_f32x4_s(d))
  return i8x16.narrow_i16x8_s(low, high)
}

// @ts-ignore: decorator
@inline
function finish(aim: v128, q: v128, curvature: v128, line: usize, into: usize, r: usize, shifted: bool): void {
  const product = mul(q, v128.load(scale + r))
  const stored = shifted ? add(product, v128.load(offset + r)) : product
  const miss = sub(aim, stored)
  v128.store(error + r, add(v128.load(error + r), mul(curvature, mul(miss, miss))))
  v128.store(into + r, sub(v128.load(line + r), stored))
}
