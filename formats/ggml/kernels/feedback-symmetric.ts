// Error feedback for Q3_K, Q6_K and IQ4_XS: value = d * scale * code, or * level; d stays as it is. Memory maps: see quantize-q3-k.ts,
// quantize-q6-k.ts and quantize-iq4.ts.

import { feedback } from './feedback'
import { chooseGroup, stepOfGroup, useIntegers } from './feedback-group'
import { gatherCodes, scaleOf, setRecord, setUnit } from './feedback-memory'
import { ofHalf } from './factor'
import { codes } from './lanes'
import { packBits, packNibbles, packPairs } from './packing'

/** Chooses codes, scales and minimums of Q3_K again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q3_k(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useIntegers(16, -4, 3, -32, 31, false, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseGroup, stepOfGroup, 256, 110, readQ3, writeQ3)
}

/** Chooses codes, scales and minimums of Q6_K again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_q6_k(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useIntegers(16, -32, 31, -128, 127, false, false)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseGroup, stepOfGroup, 256, 210, readQ6, writeQ6)
}

/** Chooses codes, scales and minimums of IQ4_XS again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq4_xs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  useIntegers(32, -127, 127, -32, 31, false, true)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseGroup, stepOfGroup, 256, 136, readXs, writeXs)
}

function readQ3(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block, 108)), 0)
  const high = load<u32>(block, 104)
  for (let j: usize = 0; j < 16; j++) {
    const low = (<u32>load<u8>(block + (j & 7), 96) >> ((<u32>j >> 3) << 2)) & 15
    const top = (high >> (((<u32>j & 3) << 3) + ((<u32>j >> 2) << 1))) & 3
    setRecord(16 * index + j, row, <f32>(<i32>(low | (top << 4)) - 32), 0)
  }
}

function writeQ3(block: usize, index: usize, row: usize): void {
  memory.fill(block + 96, 0, 12)
  for (let j: usize = 0; j < 16; j++) {
    const s = <u32>(<i32>scaleOf(16 * index + j, row) + 32)
    const low = block + (j & 7)
    store<u8>(low, load<u8>(low, 96) | ((s & 15) << ((<u32>j >> 3) << 2)), 96)
    const top = block + (j & 3)
    store<u8>(top, load<u8>(top, 104) | ((s >> 4) << ((<u32>j >> 2) << 1)), 104)
  }
  gatherCodes(256 * index, row, 256)
  packBits(block, 2)
  packPairs(block + 32, 0)
}

function readQ6(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block, 208)), 0)
  for (let j: usize = 0; j < 16; j++) setRecord(16 * index + j, row, <f32>load<i8>(block + j, 192), 0)
}

function writeQ6(block: usize, index: usize, row: usize): void {
  for (let j: usize = 0; j < 16; j++) store<i8>(block + j, <i8>scaleOf(16 * index + j, row), 192)
  gatherCodes(256 * index, row, 256)
  packNibbles(codes, block, 256, 64)
  packPairs(block + 128, 4)
}

function readXs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  const high = <u32>load<u16>(block, 2)
  const low = load<u32>(block, 4)
  for (let j: usize = 0; j < 8; j++) {
    const s = ((low >> (4 * <u32>j)) & 15) | (((high >> (2 * <u32>j)) & 3) << 4)
    setRecord(8 * index + j, row, <f32>(<i32>s - 32), 0)
  }
}

function writeXs(block: usize, index: usize, row: usize): void {
  let high: u32 = 0
  let low: u32 = 0
  for (let j: usize = 0; j < 8; j++) {
    const s = <u32>(<i32>scaleOf(8 * index + j, row) + 32)
    low |= (s & 15) << (4 * <u32>j)
    high |= (s >> 4) << (2 * <u32>j)
  }
  store<u16>(block, <u16>high, 2)
  store<u32>(block, low, 4)
  gatherCodes(256 * index, row, 256)
  packNibbles(codes, block + 8, 256, 16)
}
