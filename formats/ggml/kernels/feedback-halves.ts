// Error feedback for the blocks of 32 values with halves of their own: value = d * code, d * code + m, or d * level. Memory maps: see
// quantize-legacy.ts, q8-0.ts and quantize-iq4.ts.

import { feedback } from './feedback'
import { chooseGroup, stepOfGroup, useHalves } from './feedback-group'
import { gatherCodes, minimumOf, scaleOf, setRecord } from './feedback-memory'
import { ofHalf, toHalf } from './factor'
import { codes } from './lanes'
import { packNibbles } from './packing'

/** Chooses codes, scales and minimums of Q4_0 again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q4_0(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useHalves(-8, 7, false, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 32, 18, readScale, writeQ40)
}

/** Chooses codes, scales and minimums of Q5_0 again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q5_0(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useHalves(-16, 15, false, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 32, 22, readScale, writeQ50)
}

/** Chooses codes, scales and minimums of Q4_1 again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q4_1(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useHalves(0, 15, true, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 32, 20, readBoth, writeQ41)
}

/** Chooses codes, scales and minimums of Q5_1 again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q5_1(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useHalves(0, 31, true, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 32, 24, readBoth, writeQ51)
}

/** Chooses codes, scales and minimums of Q8_0 again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q8_0(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useHalves(-128, 127, false, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 32, 34, readScale, writeQ80)
}

/** Chooses codes, scales and minimums of IQ4_NL again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq4_nl(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useHalves(-127, 127, false, true)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 32, 18, readScale, writeQ40)
}

function readScale(block: usize, index: usize, row: usize): void {
  setRecord(index, row, ofHalf(load<u16>(block)), 0)
}

function readBoth(block: usize, index: usize, row: usize): void {
  setRecord(index, row, ofHalf(load<u16>(block)), ofHalf(load<u16>(block, 2)))
}

/** Writes the scale, and brings the codes to `codes`. */
// @ts-ignore: decorator
@inline
function begin(block: usize, index: usize, row: usize): void {
  store<u16>(block, toHalf(scaleOf(index, row)))
  gatherCodes(32 * index, row, 32)
}

/** The fifth bits of 32 codes. */
// @ts-ignore: decorator
@inline
function fifthBits(): u32 {
  const low = <u32>i8x16.bitmask(i16x8.shl(v128.load(codes), 3))
  return low | (<u32>i8x16.bitmask(i16x8.shl(v128.load(codes, 16), 3)) << 16)
}

function writeQ40(block: usize, index: usize, row: usize): void {
  begin(block, index, row)
  packNibbles(codes, block + 2, 32, 16)
}

function writeQ50(block: usize, index: usize, row: usize): void {
  begin(block, index, row)
  store<u32>(block, fifthBits(), 2)
  packNibbles(codes, block + 6, 32, 16)
}

function writeQ41(block: usize, index: usize, row: usize): void {
  begin(block, index, row)
  store<u16>(block, toHalf(minimumOf(index, row)), 2)
  packNibbles(codes, block + 4, 32, 16)
}

function writeQ51(block: usize, index: usize, row: usize): void {
  begin(block, index, row)
  store<u16>(block, toHalf(minimumOf(index, row)), 2)
  store<u32>(block, fifthBits(), 4)
  packNibbles(codes, block + 8, 32, 16)
}

function writeQ80(block: usize, index: usize, row: usize): void {
  begin(block, index, row)
  const middle = i8x16.splat(-128)
  v128.store(block, v128.xor(v128.load(codes), middle), 2)
  v128.store(block, v128.xor(v128.load(codes, 16), middle), 18)
}
