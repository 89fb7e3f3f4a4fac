import { FormatError, type FormatErrorCode } from '../../formats/format-error.js'
import { MqError, type ToolErrorCode } from '../errors.js'

/** An error as data: the classes and codes of errors do not cross from a worker by themselves. */
export type Failure =
  | { readonly kind: 'format'; readonly code: FormatErrorCode; readonly details: FormatError['details'] }
  | { readonly kind: 'tool'; readonly code: ToolErrorCode; readonly details: MqError['details'] }
  | { readonly kind: 'other'; readonly message: string; readonly stack: string; readonly code?: string; readonly path?: string }

/** Puts any thrown thing into data. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof FormatError) return { kind: 'format', code: thrown.code, details: thrown.details }
  if (thrown instanceof MqError) return { kind: 'tool', code: thrown.code as ToolErrorCode, details: thrown.details }
  const error: NodeJS.ErrnoException = thrown instanceof Error ? thrown : new Error(String(thrown))
  return {
    kind: 'other',
    message: error.message,
    stack: error.stack ?? '',
    ...(error.code === undefined ? {} : { code: error.code }),
    ...(error.path === undefined ? {} : { path: error.path }),
  }
}

/** The error that the data stands for. Node's own errors keep their code, by which MqError.from puts them into words. */
export function errorOf(failure: Failure): Error {
  switch (failure.kind) {
    case 'format':
      return new FormatError(failure.code, failure.details)
    case 'tool':
      return MqError.of(failure.code, failure.details)
    case 'other': {
      const { message, stack, code, path } = failure
      return Object.assign(new Error(message), { stack }, code === undefined ? {} : { code }, path === undefined ? {} : { path })
    }
  }
}
