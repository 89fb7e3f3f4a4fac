import * as v from 'valibot'
import { errorOf, type Failure, failureOf } from '../engine/index.js'
import { MqError } from '../errors/index.js'

const schema = v.object({ worker: v.string(), failure: v.looseObject({ kind: v.picklist(['format', 'tool', 'other']) }) })

/** Errors of a worker's machine, not of the unit: another worker may run it, and this one takes no more units. */
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
/** Transient errors. A network that fails is no such error: it was tried again by then, and the build fetches the files itself. */
const passing: ReadonlySet<string> = new Set(['INTERNAL', 'LLAMA_CRASHED', 'OUTPUT_BUSY', 'INPUT_TRUNCATED'])

/** Classifies an error: of the machine, transient, or of the unit, which then fails on every machine. */
export function faultOf(error: MqError): 'machine' | 'chance' | 'unit' {
  if (ofTheMachine.has(error.code)) return 'machine'
  return passing.has(error.code) ? 'chance' : 'unit'
}

/** Serializes an error for the broker. */
export function reasonOf(error: unknown, worker: string): string {
  return JSON.stringify({ worker, failure: failureOf(error) })
}

/** Parses an error that reasonOf serialized. @param unit name of the unit, for errors of the queue itself. */
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
