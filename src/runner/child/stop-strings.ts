/** Finds the first of some strings in text that comes in pieces, and holds back what may be the beginning of one. */
export interface StopStrings {
  /** Text that is no part of a stop string; `stopped` once one has come, after which nothing more is pushed. */
  push(text: string): { readonly text: string; readonly stopped: boolean }
  /** What is held back, where no more comes. */
  end(): string
}

export function stopStrings(stops: readonly string[]): StopStrings {
  let held = ''
  return {
    push(text) {
      held += text
      const found = stops.map((stop) => held.indexOf(stop)).filter((index) => index >= 0)
      if (found.length > 0) return { text: held.slice(0, Math.min(...found)), stopped: true }
      const kept = Math.max(0, ...stops.map((stop) => beginningAtEnd(held, stop)))
      const whole = held.slice(0, held.length - kept)
      held = held.slice(held.length - kept)
      return { text: whole, stopped: false }
    },
    end: () => held,
  }
}

/** Length of the longest beginning of `stop`, but not all of it, with which the text ends. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length -= 1) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
