/** Puts lines together to messages: `\` at the end of a line goes on in the next one, and `"""` begins and ends several lines. */
export interface MessageReader {
  /** A message that is whole by now; undefined while one is open. */
  push(line: string): string | undefined
  /** Forgets what is open. @returns whether anything was. */
  reset(): boolean
  readonly isOpen: boolean
}

const fence = '"""'

export function messageReader(): MessageReader {
  let lines: string[] = []
  let fenced = false
  const close = (): string => {
    const message = lines.join('\n')
    lines = []
    fenced = false
    return message
  }
  return {
    push(line) {
      if (fenced) {
        if (!line.trimEnd().endsWith(fence)) {
          lines.push(line)
          return undefined
        }
        const rest = line.trimEnd().slice(0, -fence.length)
        if (rest !== '') lines.push(rest)
        return close()
      }
      if (lines.length === 0 && line.startsWith(fence)) {
        const rest = line.slice(fence.length)
        if (rest.trimEnd().endsWith(fence)) return rest.trimEnd().slice(0, -fence.length)
        fenced = true
        if (rest !== '') lines.push(rest)
        return undefined
      }
      if (line.endsWith('\\')) {
        lines.push(line.slice(0, -1))
        return undefined
      }
      lines.push(line)
      return close()
    },
    reset() {
      const was = lines.length > 0 || fenced
      close()
      return was
    },
    get isOpen() {
      return fenced || lines.length > 0
    },
  }
}
