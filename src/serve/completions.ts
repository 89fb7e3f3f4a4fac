import { randomUUID } from 'node:crypto'
import type { CompletionStep, Generated } from '../runner/index.js'
import type { TextRequest } from './requests.js'

/** State of one choice of an answer. */
export interface Answer {
  readonly index: number
  text: string
  tokens: NonNullable<CompletionStep['tokens']>[number][]
  generated?: Generated
}

/** Response bodies of one API: chats and completions differ in them. */
export interface Shape {
  readonly id: string
  /** The body of a whole answer. */
  whole(model: string, answers: readonly Answer[]): object
  /** Chunks of a stream: at the start of a choice, for a step, at its end. */
  begin(model: string, index: number): object | undefined
  step(model: string, index: number, step: CompletionStep): object
  end(model: string, answer: Answer): object
  usage(model: string, answers: readonly Answer[]): object
}

const now = (): number => Math.floor(Date.now() / 1000)

/** Returns the finish_reason of OpenAI's API. */
function reasonOf({ stopped }: Generated): string {
  return stopped === 'end' || stopped === 'stop' ? 'stop' : 'length'
}

/** Counts tokens over all choices; a prompt counts once, whatever the number of its choices. */
export function usageOf(answers: readonly Answer[], count: number): object {
  const sum = (of: (generated: Generated) => number, all: readonly Answer[]): number =>
    all.reduce((total, { generated }) => total + (generated === undefined ? 0 : of(generated)), 0)
  const firsts = answers.filter(({ index }) => index % count === 0)
  const prompt_tokens = sum(({ promptTokens }) => promptTokens, firsts)
  const completion_tokens = sum(({ tokens }) => tokens, answers)
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: sum(({ cachedTokens }) => cachedTokens, firsts) },
  }
}

const text = new TextDecoder()

function chatLogprobs(tokens: Answer['tokens']): object {
  const one = ({ bytes, logprob }: { bytes: Uint8Array; logprob: number }): object => ({
    token: text.decode(bytes),
    logprob,
    bytes: [...bytes],
  })
  return { content: tokens.map((token) => ({ ...one(token), top_logprobs: token.top.map(one) })), refusal: null }
}

/** Response bodies of /v1/chat/completions. */
export function chatShape(request: TextRequest, fingerprint: string): Shape {
  const id = `chatcmpl-${randomUUID()}`
  const hasLogprobs = request.options.logprobs !== undefined
  const created = now()
  const chunk = (model: string, choices: readonly object[]): object => ({
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    system_fingerprint: fingerprint,
    choices,
  })
  return {
    id,
    whole: (model, answers) => ({
      id,
      object: 'chat.completion',
      created,
      model,
      system_fingerprint: fingerprint,
      choices: answers.map(({ index, text: content, tokens, generated }) => ({
        index,
        message: { role: 'assistant', content, refusal: null },
        logprobs: hasLogprobs ? chatLogprobs(tokens) : null,
        finish_reason: generated === undefined ? null : reasonOf(generated),
      })),
      usage: usageOf(answers, request.count),
    }),
    begin: (model, index) =>
      chunk(model, [{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]),
    step: (model, index, { text: content, tokens }) =>
      chunk(model, [
        { index, delta: { content }, logprobs: tokens === undefined ? null : chatLogprobs([...tokens]), finish_reason: null },
      ]),
    end: (model, { index, generated }) =>
      chunk(model, [{ index, delta: {}, logprobs: null, finish_reason: generated === undefined ? null : reasonOf(generated) }]),
    usage: (model, answers) => ({ ...chunk(model, []), usage: usageOf(answers, request.count) }),
  }
}

/** Log probabilities of /v1/completions: parallel lists. */
function textLogprobs(tokens: Answer['tokens']): object {
  const names = tokens.map(({ bytes }) => text.decode(bytes))
  return {
    tokens: names,
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ bytes, logprob }) => [text.decode(bytes), logprob]))),
    text_offset: names.map((_, index) => names.slice(0, index).join('').length),
  }
}

/** Response bodies of /v1/completions. */
export function completionShape(request: TextRequest, fingerprint: string): Shape {
  const id = `cmpl-${randomUUID()}`
  const hasLogprobs = request.options.logprobs !== undefined
  const created = now()
  const body = (model: string, choices: readonly object[]): object => ({
    id,
    object: 'text_completion',
    created,
    model,
    system_fingerprint: fingerprint,
    choices,
  })
  const choice = (index: number, content: string, tokens: Answer['tokens'] | undefined, generated?: Generated): object => ({
    index,
    text: content,
    logprobs: hasLogprobs && tokens !== undefined ? textLogprobs(tokens) : null,
    finish_reason: generated === undefined ? null : reasonOf(generated),
  })
  return {
    id,
    whole: (model, answers) => ({
      ...body(
        model,
        answers.map(({ index, text: content, tokens, generated }) => choice(index, content, tokens, generated)),
      ),
      usage: usageOf(answers, request.count),
    }),
    begin: () => undefined,
    step: (model, index, step) =>
      body(model, [choice(index, step.text, step.tokens === undefined ? undefined : [...step.tokens])]),
    end: (model, { index, generated }) => body(model, [choice(index, '', undefined, generated)]),
    usage: (model, answers) => ({ ...body(model, []), usage: usageOf(answers, request.count) }),
  }
}
