// Q8_0: block of 32 in 34 bytes: half d, i8 q[32]; value = d * q.
// d = max|x| / 127, and the codes are x / d rounded half away from zero with d still an f32, as ggml and llama.cpp's converter do.
import { floatToHalf, halfToFloat } from './half'
import { greatest, inverseOf, roundSixteen } from './round'
import { storeScaled } from './spread'

/** Quantizes rows of f32 to blocks of Q8_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_q8_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 5; block > 0; block--) {
    const scale: f32 = greatest(source, 32) / 127
    const factor = f32x4.splat(inverseOf(scale))
    store<u16>(target, <u16>floatToHalf(scale))
    v128.store(target, roundSixteen(source, factor), 2)
    v128.store(target, roundSixteen(source + 64, factor), 18)
    source += 128
    target += 34
  }
}

/** Dequantizes blocks of Q8_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q8_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const scale = f32x4.splat(halfToFloat(load<u16>(source)))
    storeScaled(target, v128.load(source, 2), scale)
    storeScaled(target + 64, v128.load(source, 18), scale)
    source += 34
    target += 128
  }
}
