// Error feedback for IQ2 and IQ3: value = unit * (2 * scale + 1) * level with a sign; d stays as it is. Memory maps: see
// dequantize-codebook.ts. The lists of near points of IQ3 are those that the encoder, which made the blocks, prepared.

import { pointsOfIq2S, pointsOfIq2Xs, pointsOfIq2Xxs, pointsOfIq3S, pointsOfIq3Xxs } from './codebooks'
import { feedback } from './feedback'
import { scaleOf, setRecord, setUnit } from './feedback-memory'
import { ALL, CHANGES, NEAR, chooseRun, pointOf, signsOf, stepOfRun, usePoints } from './feedback-run'
import { ofHalf } from './factor'
import { numberPoints } from './cheapest-changes'
import { nearLists } from './scratch'

/** In units of 8, of 4 and of 1: then a scale is d times an odd number. */
const levelsOfIq2 = memory.data<f32>([1, 3.125, 5.375])
const levelsOfIq3Xxs = memory.data<f32>([1, 3, 5, 7, 9, 11, 13, 15.5])
const levelsOfIq3S = memory.data<f32>([1, 3, 5, 7, 9, 11, 13, 15])

export function feedback_iq2_xxs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(32, ALL, levelsOfIq2, pointsOfIq2Xxs, 256, true, 15, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 66, readIq2Xxs, writeIq2Xxs)
}

export function feedback_iq2_xs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(16, ALL, levelsOfIq2, pointsOfIq2Xs, 512, true, 15, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseRun, stepOfRun, 256, 74, readIq2Xs, writeIq2Xs)
}

export function feedback_iq2_s(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  numberPoints(pointsOfIq2S, 1024)
  usePoints(16, CHANGES, levelsOfIq2, pointsOfIq2S, 1024, false, 15, 0)
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 16, chooseRun, stepOfRun, 256, 82, readIq2S, writeIq2S)
}

export function feedback_iq3_xxs(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(32, NEAR, levelsOfIq3Xxs, pointsOfIq3Xxs, 256, true, 15, nearLists(0))
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 98, readIq3Xxs, writeIq3Xxs)
}

export function feedback_iq3_s(
  source: usize, target: usize, rows: i32, rowLength: i32, tables: usize, depth: i32, reach: i32, work: usize,
): void {
  usePoints(32, NEAR, levelsOfIq3S, pointsOfIq3S, 512, false, 15, nearLists(1))
  feedback(source, target, rows, rowLength, tables, depth, reach, work, 32, chooseRun, stepOfRun, 256, 110, readIq3S, writeIq3S)
}

function readIq2Xxs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  for (let run: usize = 0; run < 8; run++) setRecord(index * 8 + run, row, <f32>(load<u32>(block + 8 * run, 6) >> 28), 0)
}

function writeIq2Xxs(block: usize, index: usize, row: usize): void {
  for (let run: usize = 0; run < 8; run++) {
    let rest = <u32>scaleOf(index * 8 + run, row) << 28
    for (let i: usize = 0; i < 4; i++) {
      const column = index * 256 + run * 32 + i * 8
      store<u8>(block + 8 * run + i, pointOf(column, row, 0), 2)
      rest |= (signsOf(column, row) & 127) << (7 * <u32>i)
    }
    store<u32>(block + 8 * run, rest, 6)
  }
}

/** Sixteen scales of four bits, the first in the low half of its byte. */
// @ts-ignore: decorator
@inline
function readNibbles(scales: usize, index: usize, row: usize, runs: usize): void {
  for (let run: usize = 0; run < runs; run++) {
    setRecord(index * runs + run, row, <f32>((load<u8>(scales + (run >> 1)) >> (4 * (<u32>run & 1))) & 15), 0)
  }
}

// @ts-ignore: decorator
@inline
function writeNibbles(scales: usize, index: usize, row: usize, runs: usize): void {
  for (let run: usize = 0; run < runs; run += 2) {
    store<u8>(scales + (run >> 1), <u32>scaleOf(index * runs + run, row) | (<u32>scaleOf(index * runs + run + 1, row) << 4))
  }
}

function readIq2Xs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  readNibbles(block + 66, index, row, 16)
}

function writeIq2Xs(block: usize, index: usize, row: usize): void {
  for (let i: usize = 0; i < 32; i++) {
    const column = index * 256 + i * 8
    store<u16>(block + 2 * i, pointOf(column, row, 0) | ((signsOf(column, row) & 127) << 9), 2)
  }
  writeNibbles(block + 66, index, row, 16)
}

function readIq2S(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  readNibbles(block + 74, index, row, 16)
}

function writeIq2S(block: usize, index: usize, row: usize): void {
  memory.fill(block + 66, 0, 8)
  for (let i: usize = 0; i < 32; i++) {
    const column = index * 256 + i * 8, point = pointOf(column, row, 0), upper = block + (i >> 2)
    store<u8>(block + i, point, 2)
    store<u8>(block + i, signsOf(column, row), 34)
    store<u8>(upper, load<u8>(upper, 66) | ((point >> 8) << (2 * (<u32>i & 3))), 66)
  }
  writeNibbles(block + 74, index, row, 16)
}

function readIq3Xxs(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  for (let run: usize = 0; run < 8; run++) setRecord(index * 8 + run, row, <f32>(load<u32>(block + 4 * run, 66) >> 28), 0)
}

function writeIq3Xxs(block: usize, index: usize, row: usize): void {
  for (let run: usize = 0; run < 8; run++) {
    let rest = <u32>scaleOf(index * 8 + run, row) << 28
    for (let i: usize = 0; i < 4; i++) {
      const column = index * 256 + run * 32 + i * 8, at = block + 8 * run + 2 * i
      store<u8>(at, pointOf(column, row, 0), 2)
      store<u8>(at, pointOf(column, row, 1), 3)
      rest |= (signsOf(column, row) & 127) << (7 * <u32>i)
    }
    store<u32>(block + 4 * run, rest, 66)
  }
}

function readIq3S(block: usize, index: usize, row: usize): void {
  setUnit(index, row, ofHalf(load<u16>(block)), 0)
  readNibbles(block + 106, index, row, 8)
}

function writeIq3S(block: usize, index: usize, row: usize): void {
  memory.fill(block + 66, 0, 8)
  for (let i: usize = 0; i < 32; i++) {
    const column = index * 256 + i * 8, upper = block + (i >> 2)
    const a = pointOf(column, row, 0), b = pointOf(column, row, 1)
    store<u8>(block + 2 * i, a, 2)
    store<u8>(block + 2 * i, b, 3)
    store<u8>(upper, load<u8>(upper, 66) | (((a >> 8) | ((b >> 8) << 1)) << (2 * (<u32>i & 3))), 66)
    store<u8>(block + i, signsOf(column, row), 74)
  }
  writeNibbles(block + 106, index, row, 8)
}
