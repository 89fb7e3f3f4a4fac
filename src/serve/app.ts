import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { llamaVersion } from '../runner/index.js'
import { answerError, type HttpContext, Refusal, refusalOf } from './answers.js'
import { chatShape, completionShape, type Shape } from './completions.js'
import { checkKey, checkOrigin, readJson } from './guard.js'
import { createMetrics } from './metrics.js'
import type { ModelOverview, ModelPool } from './pool.js'
import { readChat, readCompletion, readEmbedding, readRank, type TextRequest } from './requests.js'
import { answerText } from './run-request.js'

export interface AppOptions {
  /** Address that the server listens on. */
  readonly host: string
  readonly keys: readonly string[]
  readonly maxBodyBytes: number
  /** Maximum requests, running and waiting, of all models together. */
  readonly maxRequests: number
  readonly log?: ((line: string) => void) | undefined
}

const fingerprint = `mq-llama.cpp-${llamaVersion}`

/** Creates the HTTP application: OpenAI's API over a pool of models. */
export function createApp(pool: ModelPool, options: AppOptions): Hono<{ Bindings: HttpBindings }> {
  const { host, keys, maxBodyBytes, maxRequests, log } = options
  const metrics = createMetrics()
  const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
  const known = new Set<string>()
  let reading = 0

  app.use(async (context, next) => {
    const startedAt = performance.now()
    const { outgoing } = context.env
    outgoing.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1000
      // Unknown paths are counted as one.
      const address = known.has(context.req.path) ? context.req.path : 'other'
      metrics.request(address, outgoing.statusCode, seconds)
      log?.(
        `${context.req.method} ${address} ${outgoing.statusCode}${outgoing.writableFinished ? '' : ' cut off'} ${Math.round(1000 * seconds)} ms`,
      )
    })
    await next()
  })
  app.use(checkOrigin(host))
  app.get('/health', (context) => context.json({ status: 'ok' }))
  app.use(checkKey(keys))

  const text =
    (read: (body: unknown) => TextRequest, shape: (request: TextRequest, fingerprint: string) => Shape) =>
    async (context: HttpContext): Promise<Response> => {
      const request = read(await body(context))
      const count = request.prompts.length * request.count
      if (count > maxRequests) throw new Refusal(400, 'too_many_answers', `One request may have ${maxRequests} answers.`)
      const lease = await pool.acquire(request.model, count)
      return answerText(context, lease, request, shape(request, fingerprint), metrics)
    }
  /** Limits the requests whose bodies are read at the same time: each may be large. */
  const body = async (context: HttpContext): Promise<unknown> => {
    if (reading >= maxRequests) throw new Refusal(429, 'queue_full', 'Too many requests are being read.', { retryAfter: 1 })
    reading += 1
    try {
      return await readJson(context, maxBodyBytes)
    } finally {
      reading -= 1
    }
  }
  const post = (path: string, handle: (context: HttpContext) => Promise<Response>): void => {
    known.add(path)
    app.post(path, handle)
  }
  post('/v1/chat/completions', text(readChat, chatShape))
  post('/v1/completions', text(readCompletion, completionShape))
  post('/v1/embeddings', async (context) => {
    const request = readEmbedding(await body(context))
    const lease = await pool.acquire(request.model)
    try {
      const { vectors, tokens } = await lease.model.embed(request.inputs)
      const { embeddingLength } = lease.model.info
      if (request.dimensions !== undefined && request.dimensions !== embeddingLength) {
        throw new Refusal(400, 'invalid_request', `dimensions: the embeddings of this model have ${embeddingLength}.`, {
          param: 'dimensions',
        })
      }
      const data = vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: request.base64
          ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
          : [...vector],
      }))
      return context.json({ object: 'list', model: lease.name, data, usage: { prompt_tokens: tokens, total_tokens: tokens } })
    } catch (error) {
      throw refusalOf(error, [lease.model.path])
    } finally {
      lease.release()
    }
  })
  for (const path of ['/v1/rerank', '/v1/reranking', '/rerank']) {
    post(path, async (context) => {
      const { model, query, documents, count, returnDocuments } = readRank(await body(context))
      const lease = await pool.acquire(model)
      try {
        const { scores, tokens } = await lease.model.rerank(query, documents)
        const results = scores
          .map((relevance_score, index) => ({
            index,
            relevance_score,
            ...(returnDocuments && { document: { text: documents[index] } }),
          }))
          .toSorted((a, b) => b.relevance_score - a.relevance_score)
          .slice(0, count)
        return context.json({
          object: 'list',
          model: lease.name,
          results,
          usage: { prompt_tokens: tokens, total_tokens: tokens },
        })
      } catch (error) {
        throw refusalOf(error, [lease.model.path])
      } finally {
        lease.release()
      }
    })
  }
  known.add('/v1/models').add('/health').add('/metrics')
  const described = ({ name, sizeBytes, loaded }: ModelOverview) => ({
    id: name,
    object: 'model',
    created: 0,
    owned_by: 'mq',
    meta: { size: sizeBytes, loaded },
  })
  app.get('/v1/models', async (context) => context.json({ object: 'list', data: (await pool.list()).map(described) }))
  // Names of a registry have slashes.
  app.get('/v1/models/:name{.+}', async (context) => {
    const model = (await pool.list()).find(({ name }) => name === context.req.param('name'))
    if (model === undefined) throw new Refusal(404, 'model_not_found', 'There is no such model.')
    return context.json(described(model))
  })
  app.get('/metrics', (context) => {
    const { requests, models } = pool.load
    const gauges = [
      ['mq_requests_in_progress', 'Completions that run or wait.', requests],
      ['mq_models_loaded', 'Models in memory.', models],
      ['process_resident_memory_bytes', 'Memory of the server without its models.', process.memoryUsage.rss()],
    ] as const
    return context.text(metrics.text(gauges), 200, { 'Content-Type': 'text/plain; version=0.0.4' })
  })
  app.notFound((context) => {
    const isThere = known.has(context.req.path)
    if (!isThere) return answerError(context, new Refusal(404, 'not_found', 'There is no such address.'))
    context.header(
      'Allow',
      context.req.path === '/v1/models' || context.req.path === '/health' || context.req.path === '/metrics'
        ? 'GET, HEAD'
        : 'POST',
    )
    return answerError(context, new Refusal(405, 'method_not_allowed', 'This address has other methods.'))
  })
  app.onError((thrown, context) => {
    const refusal = refusalOf(thrown)
    if (refusal.status === 500) log?.(`${refusal.code}: ${thrown.message}`)
    return answerError(context, refusal)
  })
  return app
}
