import { Command, Errors } from '@oclif/core'
import { MqError } from '../src/errors/index.js'
import { finish, type WithProgress } from '../src/progress/index.js'
import { ProgressBar } from '../src/terminal/index.js'
import { adviceFor } from './shared/advice.js'

const interrupts = ['SIGINT', 'SIGTERM'] as const

/**
 * Base class of all commands: `--json`, one line for an error, a progress bar for long work, cancellation on Ctrl-C.
 * A command parses flags, calls one function of src/, and shows the result; what `run()` returns is what `--json` prints.
 */
export abstract class MqCommand extends Command {
  static override enableJsonFlag = true

  readonly #interrupt = new AbortController()
  readonly #abort = (): void => this.#interrupt.abort()

  /** Aborted by the first Ctrl-C or SIGTERM; passed to all long work. */
  protected get signal(): AbortSignal {
    return this.#interrupt.signal
  }

  override async init(): Promise<void> {
    await super.init()
    for (const name of interrupts) process.once(name, this.#abort)
  }

  /** Leaves nothing behind where several commands run in one process, one after another. */
  protected override async finally(failed: Error | undefined): Promise<void> {
    for (const name of interrupts) process.off(name, this.#abort)
    await super.finally(failed)
  }

  /** From now on Ctrl-C is for the command to handle. */
  protected handleInterrupt(handle: () => void): void {
    process.removeListener('SIGINT', this.#abort)
    process.on('SIGINT', handle)
  }

  /** Runs work to its end behind a progress bar on stderr and returns its result. */
  protected async follow<Result>(work: WithProgress<Result>): Promise<Result> {
    const bar = new ProgressBar()
    try {
      return await finish(work, (progress) => bar.update(progress))
    } finally {
      bar.clear()
    }
  }

  /** The command line as it was typed, quoted for a shell. @param leaveOut a flag that is left out. */
  protected commandLine(leaveOut?: string): string {
    const words = [this.config.bin, ...(this.id ?? '').split(':'), ...this.argv.filter((word) => word !== leaveOut)]
    return words.map((word) => this.quote(word)).join(' ')
  }

  /** A word as a shell takes it: in quotes where it has blanks or other characters with a meaning. */
  protected quote(word: string): string {
    return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
  }

  /** A path as it is given; for `hf:NS/NAME[:TAG][@REVISION]` that of a copy in the cache, to which what is missing is pulled. */
  protected async local(path: string, endpoint?: string): Promise<string> {
    if (!/^hf:/i.test(path)) return path
    // Only when it is needed: what speaks HTTP takes time to load.
    const { pullModel } = await import('../src/hub/index.js')
    const connection = { signal: this.signal, ...(endpoint !== undefined && { endpoint }) }
    return (await this.follow(pullModel(path.slice('hf:'.length), connection))).path
  }

  /** The same for adapters, which may have a scale behind them. */
  protected async localAdapters(adapters: readonly string[] | undefined): Promise<string[] | undefined> {
    if (adapters === undefined) return undefined
    const found: string[] = []
    for (const adapter of adapters) {
      const [, name = adapter, scale = ''] = /^(hf:[^:]+)(:-?[\d.]+)?$/i.exec(adapter) ?? []
      found.push(`${await this.local(name)}${scale}`)
    }
    return found
  }

  /** Flags that are the same in the next command, each value quoted; begins with a blank where there are any. */
  protected repeated(flag: string, values: readonly string[] | undefined): string {
    return (values ?? []).map((value) => ` --${flag} ${this.quote(value)}`).join('')
  }

  /** Prints an error as one line on stderr and sets the exit status; a result can still be printed after it. */
  protected fail(failed: MqError): void {
    const error = this.#inFlags(failed)
    process.exitCode = error.exit
    process.stderr.write(`mq: ${error.code}: ${oneLine(error.message)} ${oneLine(error.suggestion)}\n`)
  }

  /** Prints any error as `mq: CODE: what was wrong. What to do.` and sets the exit status. A stack trace only with MQ_DEBUG=1. */
  protected override async catch(thrown: Error & { exitCode?: number }): Promise<void> {
    if (thrown instanceof Errors.ExitError) throw thrown
    const command = (this.id ?? '').replaceAll(':', ' ')
    const error = thrown instanceof Errors.CLIError ? usageError(thrown, command) : this.#inFlags(MqError.from(thrown))
    if (this.jsonEnabled()) this.logJson(this.toErrorJson(error))
    this.fail(error)
    if (process.env['MQ_DEBUG'] === '1') process.stderr.write(`${inspectCauses(thrown)}\n`)
  }

  /** An error of the library in the words of the command line: its options are flags of the command that was called. */
  #inFlags(error: MqError): MqError {
    const command = (this.id ?? '').replaceAll(':', ' ')
    const flags = new Set(Object.keys(this.ctor.flags))
    const { option, value = '', problem = '' } = error.details
    const flag = flagNames[option ?? ''] ?? String(option)
    if (error.code === 'OPTION_INVALID' && flags.has(flag))
      return MqError.of('FLAG_INVALID', { flag, value, problem, command }, { cause: error })
    const suggestion = adviceFor(error, flags)
    return suggestion === undefined ? error.forCommand(command) : error.withSuggestion(suggestion)
  }

  protected override toErrorJson(error: unknown): unknown {
    const { code, message, suggestion, details } = MqError.from(error)
    return { error: { code, message, suggestion, details } }
  }
}

/** Options of the library whose flags are called otherwise. */
const flagNames: Readonly<Record<string, string>> = {
  tensorTypes: 'tensor-type',
  floors: 'floor',
  ties: 'tie',
  candidates: 'candidate',
  gates: 'gate',
  splitMaxBytes: 'split-max-size',
  memoryBytes: 'memory',
  contextLength: 'ctx',
}

function usageError(error: Error, command: string): MqError {
  const problem = oneLine(error.message.replace(/See more help with --help\s*$/, ''))
    .replace(/^The following errors? occurred: /, '')
    .replace(/\.$/, '')
  const [, flag, expected, value = ''] = /^Parsing --(\S+) Expected (an integer[^:]*?) but received: (.*)$/.exec(problem) ?? []
  if (flag !== undefined)
    return MqError.of('FLAG_INVALID', { flag, value, problem: `it is not ${expected}`, command }, { cause: error })
  return MqError.of('USAGE', { problem, command }, { cause: error })
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ').trim()
}

function inspectCauses(thrown: unknown): string {
  const lines: string[] = []
  for (let error = thrown; error instanceof Error; error = error.cause) lines.push(error.stack ?? error.message)
  return lines.join('\ncaused by: ')
}
