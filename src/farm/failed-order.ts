import * as v from 'valibot'
import { errorOf, type Failure, failureOf } from '../engine/index.js'
import { MqError } from '../errors/index.js'

const schema = v.object({ worker: v.string(), failure: v.looseObject({ kind: v.picklist(['format', 'tool', 'other']) }) })

/** Errors that say something of the machine of a worker, not of the unit: another may do it, and this one takes no more. */
const ofTheMachine: ReadonlySet<string> = new Set([
  'DISK_FULL',
  'FARM_FOLDER',
  'FILE_MISSING',
  'FILE_UNREADABLE',
  'FILE_UNWRITABLE',
  'LLAMA_MISSING',
  'LLAMA_VERSION',
  'MEMORY_TOO_SMALL',
])
/** Errors that may not come again. */
const passing: ReadonlySet<string> = new Set(['INTERNAL', 'LLAMA_CRASHED', 'OUTPUT_BUSY', 'NETWORK', 'INPUT_TRUNCATED'])

/** Whose fault an error is: of the machine, of chance, or of the unit, which then fails anywhere. */
export function faultOf(error: MqError): 'machine' | 'chance' | 'unit' {
  if (ofTheMachine.has(error.code)) return 'machine'
  return passing.has(error.code) ? 'chance' : 'unit'
}

/** An error as the broker keeps it. */
export function reasonOf(error: unknown, worker: string): string {
  return JSON.stringify({ worker, failure: failureOf(error) })
}

/** The error that a reason stands for. @param unit for what the queue itself says. */
export function errorOfReason(reason: string, unit: string, times: number): MqError {
  try {
    const { failure } = v.parse(schema, JSON.parse(reason))
    return MqError.from(errorOf(failure as unknown as Failure))
  } catch {
    return /stalled/.test(reason)
      ? MqError.of('UNIT_LOST', { unit, times })
      : MqError.of('INTERNAL', { problem: `the queue says of ${unit}: ${reason}` })
  }
}
