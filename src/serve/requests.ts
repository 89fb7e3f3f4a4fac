import * as v from 'valibot'
import type { GenerateOptions } from '../runner/index.js'
import { Refusal } from './answers.js'
import { jsonGrammar } from './json-grammar.js'

/** Maximum texts of a request: prompts, inputs of embeddings, documents. */
const maxTexts = 1024

const number = (least: number, most: number) => v.nullish(v.pipe(v.number(), v.minValue(least), v.maxValue(most)))
const whole = (least: number, most: number) => v.nullish(v.pipe(v.number(), v.safeInteger(), v.minValue(least), v.maxValue(most)))
const token = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 31 - 1))
const stop = v.pipe(v.string(), v.minLength(1), v.maxLength(1000))

/** Parameters of both chats and completions. Those that only llama-server has keep its names. */
const sampling = {
  model: v.nullish(v.pipe(v.string(), v.maxLength(500))),
  stream: v.nullish(v.boolean()),
  stream_options: v.nullish(v.object({ include_usage: v.nullish(v.boolean()) })),
  n: whole(1, 16),
  max_tokens: whole(1, 2 ** 31 - 1),
  temperature: number(0, 100),
  top_p: number(0, 1),
  top_k: whole(0, 2 ** 31 - 1),
  min_p: number(0, 1),
  repeat_penalty: number(0.01, 100),
  repeat_last_n: whole(-1, 2 ** 31 - 1),
  frequency_penalty: number(-2, 2),
  presence_penalty: number(-2, 2),
  seed: v.nullish(v.pipe(v.number(), v.safeInteger())),
  stop: v.nullish(v.union([stop, v.pipe(v.array(stop), v.maxLength(16))])),
  logit_bias: v.nullish(
    v.pipe(v.record(v.pipe(v.string(), v.regex(/^\d{1,9}$/)), v.pipe(v.number(), v.minValue(-100), v.maxValue(100)))),
  ),
  grammar: v.nullish(v.pipe(v.string(), v.maxLength(100_000))),
}

const part = v.looseObject({ type: v.string(), text: v.optional(v.string()) })
const message = v.looseObject({
  role: v.picklist(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: v.nullish(v.union([v.string(), v.pipe(v.array(part), v.maxLength(maxTexts))])),
})

const chatSchema = v.looseObject({
  ...sampling,
  messages: v.pipe(v.array(message), v.minLength(1), v.maxLength(10_000)),
  max_completion_tokens: whole(1, 2 ** 31 - 1),
  logprobs: v.nullish(v.boolean()),
  top_logprobs: whole(0, 20),
  response_format: v.nullish(v.looseObject({ type: v.string() })),
})

const tokens = v.pipe(v.array(token), v.minLength(1))
const texts = v.union([
  v.string(),
  v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(maxTexts)),
  tokens,
  v.pipe(v.array(tokens), v.minLength(1), v.maxLength(maxTexts)),
])

const completionSchema = v.looseObject({ ...sampling, prompt: texts, logprobs: whole(0, 20), echo: v.nullish(v.boolean()) })

const embeddingSchema = v.looseObject({
  model: sampling.model,
  input: texts,
  encoding_format: v.nullish(v.picklist(['float', 'base64'])),
  dimensions: whole(1, 2 ** 31 - 1),
})

const document = v.union([v.string(), v.looseObject({ text: v.string() })])
const rerankSchema = v.looseObject({
  model: sampling.model,
  query: v.string(),
  documents: v.pipe(v.array(document), v.minLength(1), v.maxLength(maxTexts)),
  top_n: whole(1, 2 ** 31 - 1),
  return_documents: v.nullish(v.boolean()),
})

/** A generation request, the same for chats and completions. */
export interface TextRequest {
  readonly model: string | undefined
  /** Prompts, each a text or a conversation. */
  readonly prompts: readonly Pick<GenerateOptions, 'prompt' | 'messages' | 'raw'>[]
  /** Choices for each prompt (`n`). */
  readonly count: number
  readonly stream: boolean
  readonly includeUsage: boolean
  readonly options: GenerateOptions
}

export interface EmbeddingRequest {
  readonly model: string | undefined
  readonly inputs: readonly (string | Int32Array)[]
  readonly base64: boolean
  readonly dimensions: number | undefined
}

export interface RankRequest {
  readonly model: string | undefined
  readonly query: string
  readonly documents: readonly string[]
  readonly count: number
  readonly returnDocuments: boolean
}

/** Parameters that only llama-server supports. */
const elsewhere = 'is not supported by the embedded engine; `mq serve --engine llama-server` supports it'

/** Reads the body of /v1/chat/completions. @throws Refusal */
export function readChat(body: unknown): TextRequest {
  const request = parse(chatSchema, body)
  const unsupported = ['tools', 'functions', 'audio', 'modalities', 'prediction', 'web_search_options'].find((name) =>
    isAsked(request[name]),
  )
  if (unsupported !== undefined)
    throw new Refusal(400, 'unsupported_parameter', `${unsupported} ${elsewhere}.`, { param: unsupported })
  const messages = request.messages.map(({ role, content }) => {
    if (role === 'tool' || role === 'function') {
      throw new Refusal(400, 'unsupported_parameter', `A message of role ${role} ${elsewhere}.`, { param: 'messages' })
    }
    return { role: role === 'developer' ? 'system' : role, content: textOf(content) }
  })
  const logprobs = request.logprobs === true ? (request.top_logprobs ?? 0) : undefined
  const maxTokens = request.max_completion_tokens ?? request.max_tokens
  return common(request, [{ messages }], { logprobs, maxTokens, grammar: request.grammar ?? grammarOf(request.response_format) })
}

/** Reads the body of /v1/completions. @throws Refusal */
export function readCompletion(body: unknown): TextRequest {
  const request = parse(completionSchema, body)
  const bestOf = request['best_of']
  const refused =
    request.echo === true
      ? 'echo'
      : isAsked(request['suffix'])
        ? 'suffix'
        : typeof bestOf === 'number' && bestOf > 1
          ? 'best_of'
          : undefined
  if (refused !== undefined) throw new Refusal(400, 'unsupported_parameter', `${refused} is not supported.`, { param: refused })
  const prompts = textsOf(request.prompt).map((prompt) => ({ prompt, raw: true }))
  return common(request, prompts, {
    logprobs: request.logprobs ?? undefined,
    maxTokens: request.max_tokens,
    grammar: request.grammar,
  })
}

/** Reads the body of /v1/embeddings. @throws Refusal */
export function readEmbedding(body: unknown): EmbeddingRequest {
  const { model, input, encoding_format, dimensions } = parse(embeddingSchema, body)
  return {
    model: model ?? undefined,
    inputs: textsOf(input),
    base64: encoding_format === 'base64',
    dimensions: dimensions ?? undefined,
  }
}

/** Reads the body of /v1/rerank. @throws Refusal */
export function readRank(body: unknown): RankRequest {
  const { model, query, documents, top_n, return_documents } = parse(rerankSchema, body)
  const texts = documents.map((document) => (typeof document === 'string' ? document : document.text))
  return {
    model: model ?? undefined,
    query,
    documents: texts,
    count: top_n ?? texts.length,
    returnDocuments: return_documents === true,
  }
}

type Sampled = v.InferOutput<typeof completionSchema> | v.InferOutput<typeof chatSchema>

function common(
  request: Sampled,
  prompts: TextRequest['prompts'],
  own: { logprobs: number | undefined; maxTokens: number | null | undefined; grammar: string | null | undefined },
): TextRequest {
  const stops = request.stop ?? []
  const bias = Object.entries(request.logit_bias ?? {}).map(([id, value]) => [Number(id), value] as const)
  const seed = request.seed ?? undefined
  return {
    model: request.model ?? undefined,
    prompts,
    count: request.n ?? 1,
    stream: request.stream ?? false,
    includeUsage: request.stream_options?.include_usage ?? false,
    options: {
      maxTokens: own.maxTokens ?? undefined,
      logprobs: own.logprobs,
      grammar: own.grammar ?? undefined,
      temperature: request.temperature ?? undefined,
      topP: request.top_p ?? undefined,
      topK: request.top_k ?? undefined,
      minP: request.min_p ?? undefined,
      repeatPenalty: request.repeat_penalty ?? undefined,
      repeatLastN: request.repeat_last_n ?? undefined,
      frequencyPenalty: request.frequency_penalty ?? undefined,
      presencePenalty: request.presence_penalty ?? undefined,
      // llama.cpp's seeds have 32 bits, of which all ones mean a random one
      seed: seed === undefined ? undefined : ((seed % (2 ** 32 - 1)) + 2 ** 32 - 1) % (2 ** 32 - 1),
      stop: typeof stops === 'string' ? [stops] : stops,
      logitBias: bias.length === 0 ? undefined : bias,
    },
  }
}

function grammarOf(format: { readonly type: string } | null | undefined): string | undefined {
  if (format == null || format.type === 'text') return undefined
  if (format.type === 'json_object') return jsonGrammar
  throw new Refusal(400, 'unsupported_parameter', `response_format ${JSON.stringify(format.type.slice(0, 50))} ${elsewhere}.`, {
    param: 'response_format',
  })
}

/** Whether a parameter is given and not empty. */
function isAsked(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0)
}

function textOf(content: v.InferOutput<typeof message>['content']): string {
  if (typeof content === 'string') return content
  return (content ?? [])
    .map(({ type, text }) => {
      if (type === 'text' && text !== undefined) return text
      throw new Refusal(400, 'unsupported_parameter', `Content of type ${JSON.stringify(type.slice(0, 50))} ${elsewhere}.`, {
        param: 'messages',
      })
    })
    .join('\n')
}

/** Schema of one or several texts, as strings or token ids. */
function textsOf(input: v.InferOutput<typeof texts>): (string | Int32Array)[] {
  if (typeof input === 'string') return [input]
  if (typeof input[0] === 'number') return [Int32Array.from(input as number[])]
  return (input as (string | number[])[]).map((one) => (typeof one === 'string' ? one : Int32Array.from(one)))
}

function parse<Schema extends v.GenericSchema>(schema: Schema, body: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, body, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const param = v.getDotPath(issue) ?? undefined
  const problem = issue.message.slice(0, 300)
  throw new Refusal(
    400,
    'invalid_request',
    param === undefined ? `The request is not valid: ${problem}.` : `${param.slice(0, 100)}: ${problem}.`,
    {
      ...(param !== undefined && { param: param.slice(0, 100) }),
    },
  )
}
