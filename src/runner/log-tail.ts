const keptLines = 60
const lineLimit = 2000

/** Messages that are less specific than others. */
const vague =
  /failed to read (?:magic|header|key-value pairs|tensor info|tensor data)$|failed to load model(?: from .*)?$|failed to (?:initialize|create) the context|^terminate called|^Aborted|^Segmentation fault/i
const telling =
  /error|fail|invalid|assert|abort|unsupported|unknown|missing|not (?:found|within|enough)|out of memory|cannot|unable|what\(\)/i

/** The last lines of llama.cpp's log, for error messages. */
export class LogTail {
  readonly #lines: string[] = []
  #open = ''

  push(text: string): void {
    const lines = (this.#open + text).split('\n')
    this.#open = (lines.pop() ?? '').slice(-lineLimit)
    for (const line of lines) this.#add(line)
  }

  get lines(): readonly string[] {
    return this.#open === '' ? this.#lines : [...this.#lines, this.#open]
  }

  /** Returns llama.cpp's last error message; undefined where there is none. */
  problem(): string | undefined {
    const complaints = this.lines.filter((line) => telling.test(line)).map(withoutFunctionNames)
    return (complaints.findLast((line) => !vague.test(line)) ?? complaints.at(-1))?.replace(/[.\s]+$/, '')
  }

  #add(line: string): void {
    const text = line.trim().slice(-lineLimit)
    if (text === '') return
    this.#lines.push(text)
    if (this.#lines.length > keptLines) this.#lines.shift()
  }
}

/** `llama_model_load: error loading model: x` without time and level, names of functions, and the phrases that all errors share. */
function withoutFunctionNames(line: string): string {
  return line
    .replace(/^[\d.]+ [DIWE] /, '')
    .replace(/^(?:\w+: )+/, '')
    .replace(/^(?:\/[^/ ]+)+\/([\w.-]+:\d+: )/, '$1')
    .replace(/^error loading model: (?:llama_model_loader: )?/, '')
}
