import type { ChatMessage } from '../runner/index.js'

/** Messages of a chat, the system prompt apart: it stays where others are forgotten. */
export class Conversation {
  system: string | undefined
  #turns: ChatMessage[] = []

  constructor(system?: string) {
    this.system = system
  }

  /** As a chat template takes them. */
  get messages(): readonly ChatMessage[] {
    return this.system === undefined ? this.#turns : [{ role: 'system', content: this.system }, ...this.#turns]
  }

  ask(content: string): void {
    this.#turns.push({ role: 'user', content })
  }

  answer(content: string): void {
    this.#turns.push({ role: 'assistant', content })
  }

  /** Takes back the last question and what was answered. @returns the question; undefined where there is none. */
  undo(): string | undefined {
    const last = this.#turns.findLastIndex(({ role }) => role === 'user')
    return last < 0 ? undefined : this.#turns.splice(last)[0]?.content
  }

  /** Forgets the first question and its answer. @returns false where there is only one question. */
  forgetFirst(): boolean {
    const second = this.#turns.findIndex(({ role }, index) => index > 0 && role === 'user')
    if (second < 0) return false
    this.#turns.splice(0, second)
    return true
  }

  clear(): void {
    this.#turns = []
  }
}
