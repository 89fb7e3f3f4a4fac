// Error feedback for IQ1_S and IQ1_M: value = d * (2 * scale + 1) * (level + shift), shift 1/8 or -1/8; d stays as it is. Memory maps: see
// dequantize-codebook.ts.

import { numberPoints } from './cheapest-changes'
import { pointsOfIq1 } from './codebooks'
import { feedback } from './feedback'
import { scaleOf, setRecord, setUnit } from './feedback-memory'
import { TERNARY, chooseRun, pointOf, signsOf, stepOfRun, usePoints } from './feedback-run'
import { ofHalf } from './factor'
import { packIq1M, packIq1S } from './quantize-iq1'
import { setPoint, setScale } from './ternary-encode'

const levels = memory.data<f32>([-1, 0, 1])

/** Chooses codes, scales and minimums of IQ1_S again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq1_s(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  numberPoints(pointsOfIq1, 2048)
  usePoints(32, TERNARY, levels, pointsOfIq1, 2048, true, 7, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 50, readIq1S, writeIq1S)
}

/** Chooses codes, scales and minimums of IQ1_M again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
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
  gatherPoints(index, row, 32)
  packIq1S(block, load<u16>(block))
}

function readIq1M(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(halfOfIq1M(block)), 0)
  for (let i: usize = 0; i < 16; i++) {
    setRecord(index * 16 + i, row, <f32>((<u32>load<u16>(block + 2 * (i >> 2), 48) >> (3 * (<u32>i & 3))) & 7), 0)
  }
}

function writeIq1M(block: usize, index: usize, row: usize): void {
  gatherPoints(index, row, 16)
  packIq1M(block, halfOfIq1M(block))
}

/** The half is spread over the top four bits of the four words of scales. */
function halfOfIq1M(block: usize): u32 {
  let half: u32 = 0
  for (let word: usize = 0; word < 4; word++) half |= (<u32>load<u16>(block + 2 * word, 48) >> 12) << (4 * <u32>word)
  return half
}

/** Brings what was chosen for a super-block of one row, in runs of n, to where the packers look for it. */
function gatherPoints(index: usize, row: usize, n: usize): void {
  for (let run: usize = 0; run < 256 / n; run++) setScale(run, scaleOf(index * (256 / n) + run, row))
  for (let i: usize = 0; i < 32; i++) {
    const column = index * 256 + i * 8
    setPoint(i, pointOf(column, row, 0), signsOf(column, row))
  }
}
