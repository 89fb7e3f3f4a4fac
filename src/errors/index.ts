import { existsSync, readlinkSync } from 'node:fs'
import { FormatError, type FormatErrorCode } from '../../formats/format-error.js'
import { errorTable, exitStatus, type ToolErrorCode, type toolErrors } from './error-table.js'

export { errorTable, exitStatus, type ToolErrorCode } from './error-table.js'

type Details = Readonly<Record<string, string | number>>

/** Names in `{braces}` of a template: what the details of an error must hold. */
type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | Placeholders<Rest> : never
type DetailsOf<Code extends ToolErrorCode> = Readonly<
  Record<
    Placeholders<(typeof toolErrors)[Code]['message']> | Placeholders<(typeof toolErrors)[Code]['suggestion']>,
    string | number
  >
>

/** An error that a user can act on. Thrown everywhere in src/; commands show it as one line. */
export class MqError extends Error {
  override readonly name = 'MqError'
  readonly code: FormatErrorCode | ToolErrorCode
  readonly details: Details
  readonly suggestion: string
  readonly exit: number

  private constructor(
    code: FormatErrorCode | ToolErrorCode,
    details: Details,
    options?: ErrorOptions,
    suggestion: string = errorTable[code].suggestion,
  ) {
    const entry = errorTable[code]
    super(fill(entry.message, details), options)
    this.code = code
    this.details = details
    this.suggestion = fill(suggestion, details)
    this.exit = exitStatus[entry.exit]
  }

  /** An error of the table; `details` replace the names in braces. */
  static of<Code extends ToolErrorCode>(code: Code, details: DetailsOf<Code>, options?: ErrorOptions): MqError {
    return new MqError(code, details, options)
  }

  /** The same error with another suggestion. @param suggestion as in the table, with names of details in braces. */
  withSuggestion(suggestion: string): MqError {
    return new MqError(this.code, this.details, { cause: this.cause }, suggestion)
  }

  /** The same error; a suggestion that names a command's help names that of the command which was called. */
  forCommand(command: string): MqError {
    return this.details['command'] === undefined
      ? this
      : new MqError(this.code, { ...this.details, command }, { cause: this.cause })
  }

  /**
   * Converts anything thrown to an error of the table: format errors by code, Node's file errors, everything else as INTERNAL.
   * @param path the file in question, where the error does not name one.
   */
  static from(thrown: unknown, path = 'the file'): MqError {
    if (thrown instanceof MqError) return thrown
    if (thrown instanceof FormatError) return new MqError(thrown.code, thrown.details, { cause: thrown })
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    const options = { cause: error }
    const { code, path: errorPath, syscall } = error as NodeJS.ErrnoException
    const where = errorPath ?? path
    // Only outputs are called so, until they are whole.
    const output = /^(.*?)(?:\.[0-9a-f-]{36})?\.partial$/.exec(where)?.[1]
    if (output !== undefined && code !== undefined && writingProblems[code] !== undefined) {
      return new MqError('FILE_UNWRITABLE', { path: output, problem: writingProblems[code] }, options)
    }
    switch (code) {
      case 'ENOENT':
      case 'ENOTDIR': {
        const target = danglingTarget(where)
        return target === undefined
          ? new MqError('FILE_MISSING', { path: where }, options)
          : new MqError('LINK_DANGLING', { path: where, target }, options)
      }
      case 'EISDIR':
        return new MqError('FILE_UNREADABLE', { path: where, problem: 'it is a folder' }, options)
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        return isWritingCall(syscall)
          ? new MqError('FILE_UNWRITABLE', { path: where, problem: 'permission denied' }, options)
          : new MqError('FILE_UNREADABLE', { path: where, problem: 'permission denied' }, options)
      case 'ELOOP':
        return new MqError('FILE_UNREADABLE', { path: where, problem: 'its symbolic links lead back to themselves' }, options)
      case 'ENAMETOOLONG':
        return new MqError('FILE_UNREADABLE', { path: where, problem: 'its name is too long' }, options)
      case 'EIO':
        return new MqError('FILE_UNREADABLE', { path: where, problem: 'its disk reports an error' }, options)
      case 'ENOSPC':
      case 'EDQUOT':
        return new MqError('DISK_FULL', { path: where, needed: 'more', available: 'none' }, options)
      default:
        return error.name === 'AbortError'
          ? new MqError('INTERRUPTED', { what: 'the work' }, options)
          : new MqError('INTERNAL', { problem: error.message }, options)
    }
  }
}

/** What a symbolic link names that leads nowhere; undefined for anything else. */
function danglingTarget(path: string): string | undefined {
  try {
    return existsSync(path) ? undefined : readlinkSync(path)
  } catch {
    return undefined
  }
}

const writingCalls: ReadonlySet<string> = new Set(
  'mkdir mkdtemp rename write pwrite unlink rmdir symlink link copyfile ftruncate fsync fdatasync'.split(' '),
)

/** Whether a system call changes a disk. */
export function isWritingCall(syscall: string | undefined): boolean {
  return syscall !== undefined && writingCalls.has(syscall)
}

const writingProblems: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'its disk is read-only',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'part of its path is not a folder',
  EISDIR: 'it is a folder',
  ENAMETOOLONG: 'its name is too long',
  EFBIG: 'its disk does not take files so large',
  EIO: 'its disk reports an error',
}

/** Why a file cannot be written. @param code of Node's error. */
export function problemOfWriting(code: string | undefined): string {
  return writingProblems[code ?? ''] ?? code ?? 'for no known reason'
}

function fill(template: string, details: Details): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? `{${name}}`))
}
