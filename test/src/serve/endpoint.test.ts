import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkpointSpecs, writeCheckpointOf } from '../../../bench/coverage/checkpoints/index.js'
import { convertOurs } from '../../../bench/coverage/ours.js'
import { finish } from '../../../src/progress/index.js'
import { publish } from '../../../src/registry/index.js'
import { loadModel } from '../../../src/runner/index.js'
import { type EndpointOptions, type RunningEndpoint, startEndpoint } from '../../../src/serve/index.js'
import { llama, sampleModels } from '../../support/sample-models.js'

const prompt = 'And it came to pass in those days, that'
/** `llama-completion -m MODEL -p PROMPT --temp 0 -n 12 -no-cnv` of llama.cpp 0.7.0. */
const expected = ' the LORD spake unto Moses, saying, Speak unto the'

describe.skipIf(!llama.available)(`the endpoint (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let folder: string
  let endpoint: RunningEndpoint
  let openai: OpenAI

  const start = (serves: EndpointOptions['serves'], options: Partial<EndpointOptions> = {}): Promise<RunningEndpoint> => {
    const { slots = 4, contextLength = 512 } = options
    const load = (path: string, signal: AbortSignal) => loadModel(path, { slots, contextLength, signal, threads: 1 })
    return startEndpoint({ serves, load, port: 0, slots, queue: 8, contextLength, ...options })
  }
  const clientOf = ({ url }: RunningEndpoint, apiKey = 'none'): OpenAI =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })
  const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${endpoint.url}${path}`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })

  beforeAll(async () => {
    models = await sampleModels()
    folder = await mkdtemp(join(tmpdir(), 'mq-serve-'))
    endpoint = await start({ name: 'llama', path: await models.make('llama-kjv', 'F32') })
    openai = clientOf(endpoint)
  })
  afterAll(async () => {
    await endpoint.close()
    await rm(folder, { recursive: true, force: true })
    await models[Symbol.asyncDispose]()
  })

  it('completes a text as llama-completion does, whole and streamed, with log probabilities', async () => {
    const asked = { model: 'llama', prompt, max_tokens: 12, temperature: 0 }
    const whole = await openai.completions.create({ ...asked, logprobs: 2 })
    expect(whole.choices[0]).toMatchObject({ text: expected, finish_reason: 'length' })
    expect(whole.choices[0]?.logprobs?.tokens?.join('')).toBe(expected)
    expect(whole.usage).toMatchObject({ completion_tokens: 12, prompt_tokens: 11 })
    let text = ''
    for await (const chunk of await openai.completions.create({ ...asked, stream: true })) text += chunk.choices[0]?.text ?? ''
    expect(text).toBe(expected)
  })

  it('chats: streaming, several answers, stop, usage', async () => {
    const messages = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Who art thou?' }] }]
    const asked = { model: 'any', messages, max_completion_tokens: 24, temperature: 0 }
    const whole = await openai.chat.completions.create({ ...asked, n: 2, logprobs: true, top_logprobs: 1 })
    const [first, second] = whole.choices
    const content = first?.message.content ?? ''
    expect(content.length).toBeGreaterThan(20)
    expect(second?.message.content).toBe(content)
    expect(first?.logprobs?.content?.map(({ token }) => token).join('')).toBe(content)
    let streamed = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    const stream = await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })
    for await (const chunk of stream) {
      streamed += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
    }
    expect(streamed).toBe(content)
    expect(usage).toMatchObject({ completion_tokens: 24, prompt_tokens_details: { cached_tokens: expect.any(Number) } })
    const stop = content.slice(10, 16)
    const stopped = await openai.chat.completions.create({ ...asked, stop })
    expect(stopped.choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { content: content.slice(0, content.indexOf(stop)) },
    })
  })

  it('draws the same answers from the same seed, another for each of several', async () => {
    const messages = [{ role: 'user' as const, content: 'Who art thou?' }]
    const asked = { model: 'llama', messages, max_tokens: 12, temperature: 1, n: 2 }
    const texts = async (seed: number) =>
      (await openai.chat.completions.create({ ...asked, seed })).choices.map(({ message }) => message.content)
    const [first, again, other] = [await texts(5), await texts(5), await texts(-6)]
    expect(again).toEqual(first)
    expect(new Set([...first, ...other]).size).toBe(4)
  })

  it('answers 8 requests at once as each alone', async () => {
    const asked = Array.from({ length: 8 }, (_, index) => ({
      model: 'llama',
      prompt: `Chapter ${index}. And`,
      max_tokens: 16,
      temperature: 0,
    }))
    const together = await Promise.all(asked.map((one) => openai.completions.create(one)))
    for (const [index, one] of asked.entries()) {
      expect(together[index]?.choices[0]?.text).toBe((await openai.completions.create(one)).choices[0]?.text)
    }
  })

  it('cancels when the client goes, and answers 429 where too many wait', async () => {
    const long = { model: 'llama', prompt: 'And', max_tokens: 400, temperature: 1, stream: true as const }
    const aborts = Array.from({ length: 12 }, () => new AbortController())
    const streams = aborts.map(({ signal }) => openai.completions.create(long, { signal }).catch(() => undefined))
    const metric = async (pattern: RegExp) => Number(pattern.exec(await (await fetch(`${endpoint.url}/metrics`)).text())?.[1])
    await expect.poll(() => metric(/mq_requests_in_progress (\d+)/), { timeout: 20_000 }).toBe(12)
    const refused = await post('/v1/completions', JSON.stringify({ ...long, stream: false }))
    expect({ status: refused.status, after: refused.headers.get('retry-after') }).toEqual({ status: 429, after: '1' })
    for (const abort of aborts) abort.abort()
    await Promise.all(streams)
    await expect
      .poll(async () => (await fetch(`${endpoint.url}/metrics`)).text(), { timeout: 20_000 })
      .toMatch(/mq_requests_in_progress 0\n/)
    expect(await metric(/mq_requests_cancelled_total (\d+)/)).toBe(12)
    expect((await openai.completions.create({ ...long, max_tokens: 1, stream: false })).choices).toHaveLength(1)
  })

  it.each([
    ['no JSON', '/v1/completions', '{', 400, 'invalid_json'],
    ['half a character', '/v1/completions', '{"max_tokens":1,"prompt":"\\ud800"}', 200, undefined],
    ['a huge number', '/v1/completions', '{"prompt":"a","max_tokens":1e400}', 400, 'invalid_request'],
    ['a negative number', '/v1/completions', '{"prompt":"a","top_k":-1}', 400, 'invalid_request'],
    ['no messages', '/v1/chat/completions', '{"messages":[]}', 400, 'invalid_request'],
    ['a list for a body', '/v1/chat/completions', '[]', 400, 'invalid_request'],
    ['a token that is not there', '/v1/completions', '{"prompt":[1,999999]}', 400, 'option_invalid'],
    [
      'a prompt that is too long',
      '/v1/completions',
      JSON.stringify({ prompt: 'a '.repeat(2000) }),
      400,
      'context_length_exceeded',
    ],
    ['a very long prompt', '/v1/completions', JSON.stringify({ prompt: 'a '.repeat(2_000_000) }), 400, 'context_length_exceeded'],
    [
      'tools',
      '/v1/chat/completions',
      '{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}',
      400,
      'unsupported_parameter',
    ],
    [
      'a schema',
      '/v1/chat/completions',
      '{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema"}}',
      400,
      'unsupported_parameter',
    ],
    ['a grammar that cannot be read', '/v1/completions', '{"prompt":"a","grammar":"root ::= ("}', 400, 'option_invalid'],
    ['embeddings of a model that makes none', '/v1/embeddings', '{"input":"a"}', 400, 'model_unsuited'],
    ['ranking with a model that cannot', '/v1/rerank', '{"query":"a","documents":["b"]}', 400, 'model_unsuited'],
    ['an address that is not there', '/v1/nothing', '{}', 404, 'not_found'],
    ['another method', '/v1/models', '{}', 405, 'method_not_allowed'],
    ['a body over the limit', '/v1/completions', JSON.stringify({ prompt: 'a'.repeat(17 << 20) }), 413, 'request_too_large'],
  ])('answers %s with its reason', async (_, path, body, status, code) => {
    const answer = await post(path, body)
    const { error } = (await answer.json()) as { error?: { code: string; message: string } }
    expect({ status: answer.status, code: error?.code }).toEqual({ status, code })
    expect(error?.message ?? '').not.toContain('/')
  })

  it('gives JSON where it is asked for', async () => {
    const messages = [{ role: 'user' as const, content: 'Who?' }]
    const asked = { model: 'llama', messages, max_tokens: 200, temperature: 0, response_format: { type: 'json_object' as const } }
    const { choices } = await openai.chat.completions.create({ ...asked, stop: ['",'] })
    expect(choices[0]?.message.content).toMatch(/^\{\s?"/)
  })

  it('refuses other hosts and origins, and other content', async () => {
    const { port } = endpoint
    const raw = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1', () =>
        socket.end('GET /health HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n'),
      )
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk.toString()
      })
      socket.on('close', () => resolve(text))
    })
    expect(raw).toMatch(/^HTTP\/1\.1 403 /)
    expect((await post('/v1/completions', '{"prompt":"a"}', { origin: 'https://attacker.example' })).status).toBe(403)
    expect((await post('/v1/completions', '{"prompt":"a"}', { 'content-type': 'text/plain' })).status).toBe(415)
  })

  it('makes embeddings and ranks documents with models for it, which write no text', async () => {
    const make = async (name: string): Promise<string> => {
      const spec = checkpointSpecs.find((one) => one.name === name)
      if (spec === undefined) throw new Error(name)
      const checkpoint = await writeCheckpointOf(spec, join(folder, name), spec.classes[0] ?? '')
      await convertOurs(checkpoint, { f32: join(folder, `${name}.gguf`) }, spec.options?.mq)
      return join(folder, `${name}.gguf`)
    }
    const bert = await start({ name: 'bert', path: await make('bert') }, { keys: ['a key'.replace(' ', '-'), 'another'] })
    try {
      const client = clientOf(bert, 'another')
      await expect(clientOf(bert, 'a').models.list()).rejects.toMatchObject({ status: 401 })
      const input = ['In the beginning', 'God created', 'In the beginning']
      const { data, usage } = await client.embeddings.create({ model: 'bert', input })
      const [a = [], b = [], c = []] = data.map(({ embedding }) => embedding)
      const product = (x: number[], y: number[]): number => x.reduce((sum, value, index) => sum + value * (y[index] ?? 0), 0)
      expect(product(a, a)).toBeCloseTo(1, 5)
      expect(product(a, c)).toBeCloseTo(1, 5)
      expect(product(a, b)).toBeLessThan(0.9999)
      expect(usage.total_tokens).toBeGreaterThan(6)
      const float = await client.embeddings.create({ model: 'bert', input: input[1] ?? '', encoding_format: 'float' })
      expect(product(float.data[0]?.embedding ?? [], b)).toBeCloseTo(1, 5)
      await expect(client.completions.create({ model: 'bert', prompt: 'a' })).rejects.toMatchObject({
        status: 400,
        code: 'model_unsuited',
      })
    } finally {
      await bert.close()
    }
    const ranker = await start({ name: 'ranker', path: await make('bert-cross-encoder') })
    try {
      const body = JSON.stringify({
        query: 'Who?',
        documents: ['a king', { text: 'a tree of the field' }, 'God'],
        top_n: 2,
        return_documents: true,
      })
      const answer = await fetch(`${ranker.url}/v1/rerank`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
      })
      expect(answer.status === 200 ? '' : await answer.clone().text()).toBe('')
      const { results } = (await answer.json()) as { results: { relevance_score: number; document: { text: string } }[] }
      expect(results).toHaveLength(2)
      expect(results[0]?.relevance_score).toBeGreaterThanOrEqual(results[1]?.relevance_score ?? Number.POSITIVE_INFINITY)
    } finally {
      await ranker.close()
    }
  })

  it('serves a registry: loads on demand, unloads for memory', async () => {
    const registry = join(folder, 'registry')
    const [llama, moe] = [await models.make('llama-kjv', 'F32'), await models.make('deepseek-kjv-moe', 'F16')]
    await finish(publish({ source: llama, name: 'kjv/llama:F32', registry }))
    await finish(publish({ source: moe, name: 'kjv/moe:F16', registry }))
    const lines: string[] = []
    const many = await start({ registry }, { memoryBytes: 60e6, log: (line) => lines.push(line) })
    try {
      const client = clientOf(many)
      const names = (await client.models.list()).data.map(({ id }) => id)
      expect(names).toEqual(['kjv/llama:F32', 'kjv/moe:F16'])
      const asked = { prompt, max_tokens: 12, temperature: 0 }
      for (const model of [...names, ...names])
        expect((await client.completions.create({ ...asked, model })).choices).toHaveLength(1)
      expect(lines.filter((line) => /loading/.test(line))).toEqual([
        'loading kjv/llama:F32',
        'unloading kjv/llama:F32',
        'loading kjv/moe:F16',
        'unloading kjv/moe:F16',
        'loading kjv/llama:F32',
        'unloading kjv/llama:F32',
        'loading kjv/moe:F16',
      ])
      await expect(client.completions.create({ ...asked, model: 'kjv/nothing' })).rejects.toMatchObject({ status: 404 })
    } finally {
      await many.close()
    }
  })
})
