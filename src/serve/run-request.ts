import { finished } from 'node:stream'
import type { CompletionStep, LlamaModel } from '../runner/index.js'
import { answerError, errorBody, type HttpContext, refusalOf } from './answers.js'
import type { Answer, Shape } from './completions.js'
import type { Metrics } from './metrics.js'
import type { Lease } from './pool.js'
import type { TextRequest } from './requests.js'

/** Keep-alive comment of an event stream, sent while a long prompt is processed. */
const aliveMs = 10_000

/** Returns a signal that is aborted when the client disconnects before the end of its answer. */
export function clientSignal(context: HttpContext): AbortSignal {
  const abort = new AbortController()
  const { outgoing } = context.env
  finished(outgoing, () => {
    if (!outgoing.writableFinished) abort.abort()
  })
  return abort.signal
}

interface Step {
  readonly answer: Answer
  readonly step: CompletionStep | undefined
}

/**
 * Generates all choices of a request in parallel and yields their steps; `step` is undefined at the end of a choice.
 * @throws the first error of a choice, after the others are cancelled.
 */
async function* steps(
  model: LlamaModel,
  request: TextRequest,
  answers: readonly Answer[],
  signal: AbortSignal,
): AsyncGenerator<Step, void, void> {
  const abort = new AbortController()
  const { seed } = request.options
  const running = answers.map((answer) => {
    const prompt = request.prompts[Math.floor(answer.index / request.count)]
    const own = seed === undefined ? {} : { seed: (seed + (answer.index % request.count)) % (2 ** 32 - 1) }
    const all = AbortSignal.any([signal, abort.signal])
    return model.complete({ ...prompt, ...request.options, ...own, whole: !request.stream, signal: all })
  })
  const next = async (index: number): Promise<Step & { readonly index: number }> => {
    const answer = answers[index] as Answer
    const result = await (running[index] as (typeof running)[number]).next()
    if (result.done === true) {
      answer.generated = result.value
      return { index, answer, step: undefined }
    }
    answer.text += result.value.text
    if (result.value.tokens !== undefined) answer.tokens.push(...result.value.tokens)
    return { index, answer, step: result.value }
  }
  const waiting = new Map(answers.map((_, index) => [index, next(index)]))
  try {
    while (waiting.size > 0) {
      const { index, answer, step } = await Promise.race(waiting.values())
      if (step === undefined) waiting.delete(index)
      else waiting.set(index, next(index))
      yield { answer, step }
    }
  } finally {
    abort.abort()
    await Promise.allSettled(waiting.values())
  }
}

/** Answers a generation request, with one body or as an event stream. */
export async function answerText(
  context: HttpContext,
  lease: Lease,
  request: TextRequest,
  shape: Shape,
  metrics: Metrics,
): Promise<Response> {
  const { model, name } = lease
  const signal = clientSignal(context)
  const answers = Array.from(
    { length: request.prompts.length * request.count },
    (_, index): Answer => ({ index, text: '', tokens: [] }),
  )
  const running = steps(model, request, answers, signal)
  let over = false
  const end = (): void => {
    if (over) return
    over = true
    for (const { generated } of answers) if (generated !== undefined) metrics.generated(name, generated)
    if (signal.aborted) metrics.cancelled()
    lease.release()
  }
  const first = running.next()
  if (!request.stream) {
    try {
      for (let step = await first; step.done !== true; step = await running.next());
      end()
      return context.json(shape.whole(name, answers))
    } catch (error) {
      end()
      return answerError(context, refusalOf(error, [model.path]))
    }
  }
  // The first step decides between an answer and an error; keep-alive comments are sent meanwhile.
  await Promise.race([first, new Promise((resolve) => setTimeout(resolve, aliveMs).unref())]).catch((error: unknown) => {
    end()
    throw refusalOf(error, [model.path])
  })
  const events = textEvents(first, running, request, shape, name, answers, model.path, end)
  return new Response(streamOf(events, end), {
    headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' },
  })
}

async function* textEvents(
  first: Promise<IteratorResult<Step, void>>,
  running: AsyncGenerator<Step, void, void>,
  request: TextRequest,
  shape: Shape,
  name: string,
  answers: readonly Answer[],
  path: string,
  end: () => void,
): AsyncGenerator<string, void, void> {
  const event = (body: object): string => `data: ${JSON.stringify(body)}\n\n`
  const begun = new Set<Answer>()
  try {
    for (let next = await first; next.done !== true; next = await running.next()) {
      const { answer, step } = next.value
      const beginning = begun.has(answer) ? undefined : shape.begin(name, answer.index)
      begun.add(answer)
      if (beginning !== undefined) yield event(beginning)
      if (step === undefined) yield event(shape.end(name, answer))
      else yield event(shape.step(name, answer.index, step))
    }
    if (request.includeUsage) yield event(shape.usage(name, answers))
    yield 'data: [DONE]\n\n'
    end()
  } catch (error) {
    end()
    yield event(errorBody(refusalOf(error, [path])))
  } finally {
    await running.return()
    end()
  }
}

/** Encodes events as bytes, one at a time as the client reads them, with keep-alive comments between. */
function streamOf(events: AsyncGenerator<string, void, void>, end: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let alive: NodeJS.Timeout | undefined
  return new ReadableStream<Uint8Array>({
    start(controller) {
      alive = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(': still at work\n\n'))
      }, aliveMs)
    },
    async pull(controller) {
      const next = await events.next()
      if (next.done !== true) return controller.enqueue(encoder.encode(next.value))
      clearInterval(alive)
      controller.close()
    },
    async cancel() {
      clearInterval(alive)
      await events.return()
      end()
    },
  })
}
