// Error feedback for IQ1_S and IQ1_M: value = d * (2 * scale + 1) * (level + shift), shift 1/8 or -1/8; d stays as it is. Memory maps: see
// dequantize-codebook.ts.

import { numberPoints } from './cheapest-changes'
import { pointsOfIq1 } from './codebooks'
import { feedback } from './feedback'
import { minimumOf, scaleOf, setRecord, setUnit } from './feedback-memory'
import { TERNARY, chooseRun, pointOf, signsOf, stepOfRun, usePoints } from './feedback-run'
import { ofHalf } from './factor'

const levels = memory.data<f32>([-1, 0, 1])

export function feedback_iq1_s(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  numberPoints(pointsOfIq1, 2048)
  usePoints(32, TERNARY, levels, pointsOfIq1, 2048, true, 7, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 50, readIq1S, writeIq1S)
}

export function feedback_iq1_m(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  numberPoints(pointsOfIq1, 2048)
  usePoints(16, TERNARY, levels, pointsOfIq1, 2048, false, 7, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseRun, stepOfRun, 256, 56, readIq1M, writeIq1M)
}

function readIq1S(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  for (let run: usize = 0; run < 8; run++) {
    setRecord(index * 8 + run, row, <f32>((<u32>load<u16>(block + 2 * run, 34) >> 12) & 7), 0)
  }
}

function writeIq1S(block: usize, index: usize, row: usize): void {
  for (let run: usize = 0; run < 8; run++) {
    const group = index * 8 + run
    let rest = (<u32>scaleOf(group, row) << 12) | (minimumOf(group, row) < 0 ? 0x8000 : 0)
    for (let i: usize = 0; i < 4; i++) {
      const point = pointOf(group * 32 + i * 8, row, 0)
      store<u8>(block + 4 * run + i, point, 2)
      rest |= (point >> 8) << (3 * <u32>i)
    }
    store<u16>(block + 2 * run, rest, 34)
  }
}

/** The half is spread over the top four bits of the four words of scales. */
function readIq1M(block: usize, index: usize, row: usize): void {
  let half: u32 = 0
  for (let word: usize = 0; word < 4; word++) {
    const packed = <u32>load<u16>(block + 2 * word, 48)
    half |= (packed >> 12) << (4 * <u32>word)
    for (let i: usize = 0; i < 4; i++) setRecord(index * 16 + word * 4 + i, row, <f32>((packed >> (3 * <u32>i)) & 7), 0)
  }
  setUnit(index, row, ofHalf(half), 0)
}

function writeIq1M(block: usize, index: usize, row: usize): void {
  for (let i: usize = 0; i < 32; i += 2) {
    const column = index * 256 + i * 8
    const first = pointOf(column, row, 0), second = pointOf(column + 8, row, 0)
    store<u8>(block + i, first)
    store<u8>(block + i, second, 1)
    const low = (first >> 8) | (signsOf(column, row) << 3), high = (second >> 8) | (signsOf(column + 8, row) << 3)
    store<u8>(block + (i >> 1), low | (high << 4), 32)
  }
  for (let word: usize = 0; word < 4; word++) {
    let packed = <u32>load<u16>(block + 2 * word, 48) & 0xf000
    for (let i: usize = 0; i < 4; i++) packed |= <u32>scaleOf(index * 16 + word * 4 + i, row) << (3 * <u32>i)
    store<u16>(block + 2 * word, packed, 48)
  }
}
