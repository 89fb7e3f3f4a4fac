import { FormatError, type FormatErrorCode } from '../../formats/format-error.js'
import { MqError, type ToolErrorCode } from '../errors/index.js'

/** An error as data: the classes and codes of errors do not cross from a worker by themselves. */
export type Failure =
  | { readonly kind: 'format'; readonly code: FormatErrorCode; readonly details: FormatError['details'] }
  | { readonly kind: 'tool'; readonly code: ToolErrorCode; readonly details: MqError['details'] }
  | { readonly kind: 'other'; readonly message: string; readonly stack: string; readonly system: SystemDetails }

/** What Node adds to the errors of system calls. */
type SystemDetails = Partial<Record<'code' | 'syscall' | 'path', string>>

/** Puts any thrown thing into data. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof FormatError) return { kind: 'format', code: thrown.code, details: thrown.details }
  if (thrown instanceof MqError) return { kind: 'tool', code: thrown.code as ToolErrorCode, details: thrown.details }
  const error: NodeJS.ErrnoException = thrown instanceof Error ? thrown : new Error(String(thrown))
  const { message, stack = '', code, syscall, path } = error
  const system = Object.fromEntries(Object.entries({ code, syscall, path }).filter(([, value]) => value !== undefined))
  return { kind: 'other', message, stack, system }
}

/** The error that the data stands for. Node's own errors keep their code, by which MqError.from puts them into words. */
export function errorOf(failure: Failure): Error {
  switch (failure.kind) {
    case 'format':
      return new FormatError(failure.code, failure.details)
    case 'tool':
      return MqError.of(failure.code, failure.details)
    case 'other':
      return Object.assign(new Error(failure.message), { stack: failure.stack }, failure.system)
  }
}
