// Encoders of MXFP4 and NVFP4: E2M1 values (0, 1, 2, 3, 4, 6, 8, 12 halves) times a scale of their own kind. They give ggml's bytes, so
// that weights that were in these types already are stored without loss. dequantize-table.ts describes the layouts.
import { greatest } from './round'

/** Codes of 16 values: the nearest E2M1, of two equally near ones the smaller. `unit` is what code 1 is worth. */
// @ts-ignore: decorator
@inline
function sixteenCodes(source: usize, unit: f32): v128 {
  const a = i16x8.narrow_i32x4_s(fourCodes(v128.load(source, 0), unit), fourCodes(v128.load(source, 16), unit))
  const b = i16x8.narrow_i32x4_s(fourCodes(v128.load(source, 32), unit), fourCodes(v128.load(source, 48), unit))
  return i8x16.narrow_i16x8_s(a, b)
}

// @ts-ignore: decorator
@inline
function fourCodes(x: v128, unit: f32): v128 {
  const magnitude = f32x4.abs(x)
  // Each boundary passed takes 1 away.
  let code = f32x4.gt(magnitude, f32x4.splat(0.5 * unit))
  code = i32x4.add(code, f32x4.gt(magnitude, f32x4.splat(1.5 * unit)))
  code = i32x4.add(code, f32x4.gt(magnitude, f32x4.splat(2.5 * unit)))
  code = i32x4.add(code, f32x4.gt(magnitude, f32x4.splat(3.5 * unit)))
  code = i32x4.add(code, f32x4.gt(magnitude, f32x4.splat(5 * unit)))
  code = i32x4.add(code, f32x4.gt(magnitude, f32x4.splat(7 * unit)))
  code = i32x4.add(code, f32x4.gt(magnitude, f32x4.splat(10 * unit)))
  const sign = v128.and(v128.and(i32x4.shr_s(x, 31), i32x4.ne(code, i32x4.splat(0))), i32x4.splat(8))
  return v128.or(i32x4.neg(code), sign)
}

/** Quantizes rows of f32 to blocks of MXFP4. @param importance an f32 for each column, or 0 for none. */
export function quantize_mxfp4(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 5; block > 0; block--) {
    const most = greatest(source, 32)
    const exponent = most > 0 ? <u32>max(floorOfLog2(most) + 125, 0) : 0
    // 2^(exponent - 128); the two least are subnormal.
    const unit = reinterpret<f32>(exponent < 2 ? 0x00200000 << exponent : (exponent - 1) << 23)
    store<u8>(target, exponent)
    const low = sixteenCodes(source, unit), high = sixteenCodes(source + 64, unit)
    v128.store(target, v128.or(low, i8x16.shl(high, 4)), 1)
    source += 128
    target += 17
  }
}

/** floor(log2(x)), where the logarithm is rounded to an f32 first: just below a power of two it may reach that power. */
function floorOfLog2(x: f32): i32 {
  const bits = reinterpret<u32>(x)
  if (bits < 0x00800000) return -127
  const above = <i32>(bits >> 23) - 126
  const missing = 0x00800000 - (bits & 0x007fffff)
  // log2(1 - m) = -m / ln 2 for the small m that matter; m is in units of 2^-24.
  const logarithm = <f32>(<f64>above - <f64>missing * 8.599121e-8)
  return missing < 4096 && logarithm == <f32>above ? above : above - 1
}

/** Quantizes rows of f32 to blocks of NVFP4. @param importance an f32 for each column, or 0 for none. */
export function quantize_nvfp4(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 6; block > 0; block--) {
    for (let part: usize = 0; part < 4; part++) {
      const scale = toUe4m3(greatest(source, 16) / 6)
      store<u8>(target + part, scale)
      const both = scale == 0 ? i8x16.splat(0) : sixteenCodes(source, halfOfUe4m3(scale))
      const packed = v128.or(both, i8x16.shl(i8x16.shuffle(both, both, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0), 4))
      v128.store64_lane(target + 8 * part, packed, 0, 4)
      source += 64
    }
    target += 36
  }
}

/** The unsigned E4M3 number (bias 7, at most 448) nearest to a value >= 0, halves up. */
function toUe4m3(value: f32): u32 {
  if (value >= 448) return 0x7e
  const bits = reinterpret<u32>(value)
  const exponent = <i32>(bits >> 23) - 120
  // Subnormal: steps of 2^-9.
  if (exponent <= 0) return min(<u32>(value * 512 + 0.5), 7)
  return min(((<u32>exponent << 3) | ((bits >> 20) & 7)) + ((bits >> 19) & 1), 0x7e)
}

/** Half the value of an unsigned E4M3 number. */
function halfOfUe4m3(bits: u32): f32 {
  const exponent = bits >> 3, fraction = bits & 7
  if (exponent == 0) return <f32>fraction * reinterpret<f32>((127 - 10) << 23)
  return reinterpret<f32>(((exponent + 127 - 8) << 23) | (fraction << 20))
}
