// Error feedback for IQ2 and IQ3: value = unit * (2 * scale + 1) * level with a sign; d stays as it is. Memory maps: see
// dequantize-codebook.ts. The lists of near points of IQ3 are those that the encoder, which made the blocks, prepared.

import { numberPoints } from './cheapest-changes'
import { pointsOfIq2S, pointsOfIq2Xs, pointsOfIq2Xxs, pointsOfIq3S, pointsOfIq3Xxs } from './codebooks'
import { setPoint, setScale, setSigns } from './codebook-block'
import { levelsOfIq2, levelsOfIq3S, levelsOfIq3Xxs } from './codebook-levels'
import { feedback } from './feedback'
import { scaleOf, setRecord, setUnit } from './feedback-memory'
import { ALL, CHANGES, NEAR, chooseRun, pointOf, signsOf, stepOfRun, usePoints } from './feedback-run'
import { ofHalf } from './factor'
import { packIq2S, packIq2Xs, packIq2Xxs } from './quantize-iq2'
import { packIq3S, packIq3Xxs } from './quantize-iq3'
import { nearLists } from './scratch'

/** Chooses codes, scales and minimums of IQ2_XXS again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq2_xxs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(32, ALL, levelsOfIq2, pointsOfIq2Xxs, 256, true, 15, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 66, readIq2Xxs, writeIq2Xxs)
}

/** Chooses codes, scales and minimums of IQ2_XS again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq2_xs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(16, ALL, levelsOfIq2, pointsOfIq2Xs, 512, true, 15, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseRun, stepOfRun, 256, 74, readIq2Xs, writeIq2Xs)
}

/** Chooses codes, scales and minimums of IQ2_S again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq2_s(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  numberPoints(pointsOfIq2S, 1024)
  usePoints(16, CHANGES, levelsOfIq2, pointsOfIq2S, 1024, false, 15, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseRun, stepOfRun, 256, 82, readIq2S, writeIq2S)
}

/** Chooses codes, scales and minimums of IQ3_XXS again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq3_xxs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(32, NEAR, levelsOfIq3Xxs, pointsOfIq3Xxs, 256, true, 15, nearLists(0))
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 98, readIq3Xxs, writeIq3Xxs)
}

/** Chooses codes, scales and minimums of IQ3_S again with error feedback (GPTQ/LDLQ). Parameters: see feedback.ts. */
export function feedback_iq3_s(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(32, NEAR, levelsOfIq3S, pointsOfIq3S, 512, false, 15, nearLists(1))
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 110, readIq3S, writeIq3S)
}

/**
 * Brings what was chosen for a super-block of one row to where the packers look for it.
 * @param n values of a run. @param dimensions values of a point.
 */
function gatherPoints(index: usize, row: usize, n: usize, dimensions: usize): void {
  for (let run: usize = 0; run < 256 / n; run++) setScale(run, scaleOf(index * (256 / n) + run, row))
  for (let i: usize = 0; i < 32; i++) {
    const column = index * 256 + i * 8
    setSigns(i, n, signsOf(column, row))
    if (dimensions == 8) {
      setPoint(i, pointOf(column, row, 0))
    } else {
      setPoint(2 * i, pointOf(column, row, 0))
      setPoint(2 * i + 1, pointOf(column, row, 1))
    }
  }
}

function readIq2Xxs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  for (let run: usize = 0; run < 8; run++) setRecord(index * 8 + run, row, <f32>(load<u32>(block + 8 * run, 6) >> 28), 0)
}

function writeIq2Xxs(block: usize, index: usize, row: usize): void {
  gatherPoints(index, row, 32, 8)
  packIq2Xxs(block, load<u16>(block))
}

/** Sixteen scales of four bits, the first in the low half of its byte. */
// @ts-ignore: decorator
@inline
function readNibbles(scales: usize, index: usize, row: usize, runs: usize): void {
  for (let run: usize = 0; run < runs; run++) {
    setRecord(index * runs + run, row, <f32>((load<u8>(scales + (run >> 1)) >> (4 * (<u32>run & 1))) & 15), 0)
  }
}

function readIq2Xs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  readNibbles(block + 66, index, row, 16)
}

function writeIq2Xs(block: usize, index: usize, row: usize): void {
  gatherPoints(index, row, 16, 8)
  packIq2Xs(block, load<u16>(block))
}

function readIq2S(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  readNibbles(block + 74, index, row, 16)
}

function writeIq2S(block: usize, index: usize, row: usize): void {
  gatherPoints(index, row, 16, 8)
  packIq2S(block, load<u16>(block))
}

function readIq3Xxs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  for (let run: usize = 0; run < 8; run++) setRecord(index * 8 + run, row, <f32>(load<u32>(block + 4 * run, 66) >> 28), 0)
}

function writeIq3Xxs(block: usize, index: usize, row: usize): void {
  gatherPoints(index, row, 32, 4)
  packIq3Xxs(block, load<u16>(block))
}

function readIq3S(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  readNibbles(block + 106, index, row, 8)
}

function writeIq3S(block: usize, index: usize, row: usize): void {
  gatherPoints(index, row, 32, 4)
  packIq3S(block, load<u16>(block))
}
