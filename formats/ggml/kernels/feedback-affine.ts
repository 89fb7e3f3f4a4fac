// Error feedback for Q2_K, Q4_K and Q5_K: value = d * scale * code - dmin * minimum; d and dmin stay as they are. Memory maps: see
// quantize-q2-k.ts and quantize-q4-q5-k.ts.

import { feedback } from './feedback'
import { chooseGroup, stepOfGroup, useIntegers } from './feedback-group'
import { gatherCodes, minimumOf, scaleOf, setRecord, setUnit } from './feedback-memory'
import { ofHalf } from './factor'
import { codes } from './lanes'
import { packBits, packNibbles, packPairs } from './packing'

/** Chooses codes, scales and minimums of Q2_K again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q2_k(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useIntegers(16, 0, 3, 0, 15, true, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseGroup, stepOfGroup, 256, 84, readPairs, writePairs)
}

/** Chooses codes, scales and minimums of Q4_K again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q4_k(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useIntegers(32, 0, 15, 0, 63, true, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 256, 144, readScales, writeNibbles)
}

/** Chooses codes, scales and minimums of Q5_K again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q5_k(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useIntegers(32, 0, 31, 0, 63, true, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 256, 176, readScales, writeFifths)
}

function readPairs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block, 80)), ofHalf(load<u16>(block, 82)))
  for (let j: usize = 0; j < 16; j++) {
    const both = load<u8>(block + j)
    setRecord(16 * index + j, row, <f32>(both & 15), <f32>(both >> 4))
  }
}

function writePairs(block: usize, index: usize, row: usize): void {
  for (let j: usize = 0; j < 16; j++) {
    const group = index * 16 + j
    store<u8>(block + j, <u32>scaleOf(group, row) | (<u32>minimumOf(group, row) << 4))
  }
  gatherCodes(256 * index, row, 256)
  packPairs(block + 16, 0)
}

function readScales(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), ofHalf(load<u16>(block, 2)))
  for (let j: usize = 0; j < 4; j++) {
    const s = <u32>load<u8>(block + j, 4)
    const m = <u32>load<u8>(block + j, 8)
    const low = <u32>load<u8>(block + j, 12)
    setRecord(8 * index + j, row, <f32>(s & 63), <f32>(m & 63))
    setRecord(8 * index + j + 4, row, <f32>((low & 15) | ((s >> 6) << 4)), <f32>((low >> 4) | ((m >> 6) << 4)))
  }
}

// @ts-ignore: decorator
@inline
function writeScales(block: usize, index: usize, row: usize): void {
  for (let j: usize = 0; j < 4; j++) {
    const group = index * 8 + j
    const s = <u32>scaleOf(group, row)
    const m = <u32>minimumOf(group, row)
    const s4 = <u32>scaleOf(group + 4, row)
    const m4 = <u32>minimumOf(group + 4, row)
    store<u8>(block + j, s | ((s4 >> 4) << 6), 4)
    store<u8>(block + j, m | ((m4 >> 4) << 6), 8)
    store<u8>(block + j, (s4 & 15) | ((m4 & 15) << 4), 12)
  }
}

function writeNibbles(block: usize, index: usize, row: usize): void {
  writeScales(block, index, row)
  gatherCodes(256 * index, row, 256)
  packNibbles(codes, block + 16, 256, 32)
}

function writeFifths(block: usize, index: usize, row: usize): void {
  writeScales(block, index, row)
  gatherCodes(256 * index, row, 256)
  packBits(block + 16, 4)
  packNibbles(codes, block + 48, 256, 32)
}
