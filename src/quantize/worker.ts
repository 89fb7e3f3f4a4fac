import { openSync, readSync, writeSync } from 'node:fs'
import { workerData } from 'piscina'
import { FormatError } from '../../formats/format-error.js'
import { openCodec } from '../../formats/ggml/codec.js'
import { ggmlBytes } from '../../formats/ggml/types.js'
import { MqError } from '../errors.js'
import { evaluateRows, type FileRange, rowLength } from '../recipe/index.js'
import { failureOf } from './failure.js'
import { addErrorSums, type ErrorSums, errorSums, noErrorSums } from './statistics.js'
import type { MeasureTask, QuantizeTask, RowRun, WorkerReply, WorkerSetup, WorkerTask } from './task.js'

// One of these runs in each worker thread. Its files stay open until the thread ends, which closes them.

const { files } = workerData as WorkerSetup
const codec = await openCodec()
const descriptors = new Map<string, number>()

/** Does one task. Never rejects for what can be foreseen: an error that crosses from a worker loses its class and code. */
export default async function run(task: WorkerTask): Promise<WorkerReply> {
  const start = performance.now()
  try {
    const sums = task.kind === 'quantize' ? await quantize(task) : await measure(task)
    return { ok: true, sums, seconds: (performance.now() - start) / 1000 }
  } catch (error) {
    return { ok: false, failure: failureOf(error) }
  }
}

async function quantize(task: QuantizeTask): Promise<ErrorSums[]> {
  const { tensor, run, type, output, offset, method } = task
  const values = await finiteRows(tensor, run)
  const blocks = method === 'copy' ? await storedBlocks(run) : codec.quantize(type, values, rowLength(run.recipe), run.importance)
  writeFully(descriptor(output, 'r+'), blocks, offset)
  if (method !== 'measure') return []
  const stored = codec.dequantize(type, blocks, values.length)
  const sums = errorSums(values, stored)
  if (!Number.isFinite(sums.squaredError)) {
    const row = run.tensorRow + Math.floor(codec.firstNonFinite(stored) / rowLength(run.recipe))
    throw MqError.of('TENSOR_OVERFLOW', { tensor, row, type })
  }
  return [sums]
}

async function measure({ tensor, runs, types }: MeasureTask): Promise<ErrorSums[]> {
  const totals = types.map(() => noErrorSums)
  for (const run of runs) {
    const values = await finiteRows(tensor, run)
    types.forEach((type, index) => {
      const blocks = codec.quantize(type, values, rowLength(run.recipe), run.importance)
      const sums = errorSums(values, codec.dequantize(type, blocks, values.length), run.importance)
      totals[index] = addErrorSums(totals[index] ?? noErrorSums, sums)
    })
  }
  return totals
}

async function finiteRows(tensor: string, { recipe, start, end, tensorRow }: RowRun): Promise<Float32Array> {
  const values = await evaluateRows(recipe, start, end, read, codec)
  const at = codec.firstNonFinite(values)
  if (at >= 0) throw MqError.of('TENSOR_NOT_FINITE', { tensor, row: tensorRow + Math.floor(at / rowLength(recipe)) })
  return values
}

/** The bytes of rows as their file has them. */
async function storedBlocks({ recipe, start, end }: RowRun): Promise<Uint8Array> {
  if (recipe.op !== 'ggml') throw new RangeError(`nothing to copy in ${recipe.op}`)
  const { file, start: first } = recipe.range
  const rowBytes = ggmlBytes(recipe.type, rowLength(recipe))
  return read({ file, start: first + start * rowBytes, end: first + end * rowBytes })
}

async function read({ file, start, end }: FileRange): Promise<Uint8Array> {
  const path = files[file]
  if (path === undefined) throw new RangeError(`file ${file} of ${files.length}`)
  const bytes = new Uint8Array(end - start)
  for (let filled = 0; filled < bytes.byteLength; ) {
    const count = readSync(descriptor(path, 'r'), bytes, filled, bytes.byteLength - filled, start + filled)
    if (count === 0) throw new FormatError('INPUT_TRUNCATED', { file: path, wanted: end, present: start + filled })
    filled += count
  }
  return bytes
}

function writeFully(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let written = 0; written < bytes.byteLength; ) {
    written += writeSync(descriptor, bytes, written, bytes.byteLength - written, position + written)
  }
}

function descriptor(path: string, flags: 'r' | 'r+'): number {
  const known = descriptors.get(path)
  if (known !== undefined) return known
  const opened = openSync(path, flags)
  descriptors.set(path, opened)
  return opened
}
