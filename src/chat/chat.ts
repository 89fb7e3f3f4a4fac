import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { MqError } from '../errors/index.js'
import type { Generated, Sampling, TextModel } from '../runner/index.js'
import { runCommand } from './commands.js'
import { Conversation } from './conversation.js'
import { type LineQueue, lineQueue } from './line-queue.js'
import { messageReader } from './messages.js'

export interface ChatOptions {
  readonly input: Readable
  readonly output: Writable
  /** Whether input and output are a terminal, with editing and a history of lines. */
  readonly terminal: boolean
  /** System prompt; by default none. */
  readonly system?: string | undefined
  readonly sampling?: Partial<Sampling>
  readonly maxTokens?: number | undefined
  readonly stop?: readonly string[]
  /** Ends the chat at once. */
  readonly signal?: AbortSignal
  /** Called with a function that acts as Ctrl-C does; where it comes as a signal. */
  readonly onInterrupt?: (interrupt: () => void) => void
  /** Takes what is said about the last answer: counts and speed. */
  readonly onAnswer?: (generated: Generated) => void
}

export interface ChatSummary {
  readonly answers: number
  readonly tokens: number
}

/**
 * Chats until the input ends: reads messages line by line, streams answers, keeps the conversation. Ctrl-C stops an answer, which stays as
 * far as it came, or clears what is being written; on an empty line it tells how to leave. Where the conversation outgrows the context,
 * its first questions are forgotten.
 * @throws MqError as LlamaModel.complete does, but for a question that alone is too long.
 */
export async function chat(model: TextModel, options: ChatOptions): Promise<ChatSummary> {
  const { input, output, terminal, signal } = options
  const conversation = new Conversation(options.system)
  const sampling: Partial<Sampling> = model.sampling(options.sampling ?? {})
  // another draw for each answer, unless a seed is asked for
  if (options.sampling?.seed === undefined) delete (sampling as { seed?: number }).seed
  const reader = messageReader()
  const terminalLines = createInterface({ input, output: terminal ? output : undefined, terminal, historySize: 500 })
  const lines = lineQueue(terminalLines, terminal, signal)
  let stopAnswer: (() => void) | undefined
  let answers = 0
  let tokens = 0
  const say = (text: string): void => void output.write(`${text}\n`)
  const prompt = (): void => {
    terminalLines.setPrompt(reader.isOpen ? '... ' : '> ')
    if (terminal) terminalLines.prompt()
  }
  const interrupt = (): void => {
    if (stopAnswer !== undefined) return stopAnswer()
    const wasWriting = terminalLines.line !== '' || reader.reset()
    say(wasWriting ? '' : '\nCtrl-D or /exit leaves.')
    if (terminal) terminalLines.write(null, { ctrl: true, name: 'u' })
    prompt()
  }
  terminalLines.on('SIGINT', interrupt)
  options.onInterrupt?.(interrupt)

  const answer = async (question: string): Promise<void> => {
    conversation.ask(question)
    for (;;) {
      try {
        const generated = await stream(model, conversation, { ...options, sampling }, (stop) => {
          stopAnswer = stop
        })
        answers += 1
        tokens += generated?.tokens ?? 0
        if (generated !== undefined) options.onAnswer?.(generated)
        return
      } catch (error) {
        if (MqError.from(error).code !== 'PROMPT_TOO_LONG') throw error
        if (!conversation.forgetFirst()) {
          conversation.undo()
          return say(`${(error as MqError).message} It was not asked.`)
        }
        say('(The first question is forgotten: the conversation is longer than the context.)')
      } finally {
        stopAnswer = undefined
      }
    }
  }

  try {
    for (;;) {
      prompt()
      const message = await nextMessage(lines, reader, prompt)
      if (message === undefined) break
      if (message.trim() === '') continue
      if (!message.startsWith('/')) {
        await answer(message)
        continue
      }
      const outcome = runCommand(message, conversation, sampling)
      if (outcome.kind === 'exit') break
      if (outcome.kind === 'ask') await answer(outcome.question)
      else say(outcome.text)
    }
  } finally {
    terminalLines.close()
  }
  if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: 'the chat' })
  return { answers, tokens }
}

async function nextMessage(
  lines: LineQueue,
  reader: ReturnType<typeof messageReader>,
  prompt: () => void,
): Promise<string | undefined> {
  for (;;) {
    const line = await lines.next()
    if (line === undefined) return undefined
    // What was pasted at once is one message.
    const message = line.includes('\n') && !reader.isOpen && !line.startsWith('"""') ? line : pushAll(reader, line)
    if (message !== undefined) return message
    prompt()
  }
}

function pushAll(reader: ReturnType<typeof messageReader>, text: string): string | undefined {
  const whole = text.split('\n').flatMap((line) => reader.push(line) ?? [])
  return whole.length === 0 ? undefined : whole.join('\n')
}

/** Streams an answer and keeps it. @returns undefined where it was stopped. */
async function stream(
  model: TextModel,
  conversation: Conversation,
  { output, sampling, maxTokens, stop, signal }: ChatOptions,
  onStart: (stop: () => void) => void,
): Promise<Generated | undefined> {
  const { messages } = conversation
  // A model without a template continues the text of the conversation.
  const asked = model.info.chatTemplate?.trim()
    ? { messages }
    : { prompt: messages.map(({ content }) => content).join('\n'), raw: true }
  const abort = new AbortController()
  onStart(() => abort.abort())
  let text = ''
  try {
    const optional = maxTokens === undefined ? {} : { maxTokens }
    const pieces = model.generate({ ...asked, ...sampling, ...optional, stop, signal: abort.signal })
    for (;;) {
      const step = await pieces.next()
      if (step.done === true) return step.value
      text += step.value
      output.write(step.value)
    }
  } catch (error) {
    if (!abort.signal.aborted || signal?.aborted === true) throw error
    return undefined
  } finally {
    if (text !== '' || abort.signal.aborted) {
      conversation.answer(text)
      output.write(text.endsWith('\n') ? '' : '\n')
    }
  }
}
