import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { loadModel } from '../src/runner/index.js'
import { startEndpoint } from '../src/serve/index.js'
import { foreign } from './foreign.js'
import { freePort } from './free-port.js'
import { median } from './median.js'
import { integers } from './random.js'

interface Round {
  readonly tokensPerSecond: number
}

/**
 * Holds `mq serve` against llama-server on the same file, in one run, rounds in turn: throughput of requests in parallel, greedy text of
 * requests one by one; then malformed requests, none of which may end the server or go without a reason.
 */
export async function serveBench(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      parallel: { type: 'string', default: '8' },
      tokens: { type: 'string', default: '64' },
      rounds: { type: 'string', default: '5' },
      threads: { type: 'string', default: '1' },
      malformed: { type: 'string', default: '1000' },
    },
  })
  const [model] = positionals
  if (model === undefined)
    throw new Error('usage: npm run bench -- serve MODEL.gguf [--parallel 8] [--threads 1] [--malformed 1000]')
  const [parallel, tokens, rounds, threads] = [values.parallel, values.tokens, values.rounds, values.threads].map(Number) as [
    number,
    number,
    number,
    number,
  ]
  const contextLength = 512
  const load = (path: string, signal: AbortSignal) =>
    loadModel(path, { slots: parallel, contextLength, threads, exactThreads: true, signal })
  const mq = await startEndpoint({
    serves: { name: 'model', path: model },
    load,
    port: 0,
    slots: parallel,
    queue: 64,
    contextLength,
  })
  const peer = await startPeer(model, parallel, contextLength, threads)
  const found: Record<string, unknown> = { model, parallel, tokens, rounds, threads }
  try {
    if (peer !== undefined) {
      await round(mq.url, parallel, 8)
      await round(peer.url, parallel, 8)
      const ours: number[] = []
      const theirs: number[] = []
      for (let index = 0; index < rounds; index += 1) {
        const order = index % 2 === 0 ? [mq.url, peer.url] : [peer.url, mq.url]
        for (const url of order) (url === mq.url ? ours : theirs).push((await round(url, parallel, tokens)).tokensPerSecond)
      }
      const ratios = ours.map((speed, index) => speed / (theirs[index] as number)).toSorted((a, b) => a - b)
      const same = await equalTexts(mq.url, peer.url, tokens)
      Object.assign(found, { ours: median(ours), llamaServer: median(theirs), ratio: median(ratios), ratios, ...same })
    }
    Object.assign(found, await malformed(mq.url, Number(values.malformed)))
  } finally {
    await peer?.close()
    await mq.close()
  }
  console.log(JSON.stringify(found, undefined, values.json === true ? 0 : 2))
}

async function complete(url: string, prompt: string, tokens: number): Promise<{ text: string; tokens: number }> {
  const body = JSON.stringify({ model: 'model', prompt, max_tokens: tokens, temperature: 0, seed: 1 })
  const answer = await fetch(`${url}/v1/completions`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  const { choices, usage } = (await answer.json()) as { choices: { text: string }[]; usage: { completion_tokens: number } }
  return { text: choices[0]?.text ?? '', tokens: usage.completion_tokens }
}

let chapters = 0
/** Prompts that no earlier one begins like. */
async function round(url: string, parallel: number, tokens: number): Promise<Round> {
  const prompts = Array.from({ length: parallel }, () => `${(chapters += 1)}. And it came to pass in those days, that`)
  const startedAt = performance.now()
  const answers = await Promise.all(prompts.map((prompt) => complete(url, prompt, tokens)))
  const seconds = (performance.now() - startedAt) / 1000
  return {
    tokensPerSecond: answers.reduce((sum, answer) => sum + answer.tokens, 0) / seconds,
  }
}

async function equalTexts(ours: string, theirs: string, tokens: number): Promise<{ equalTexts: string }> {
  const prompts = [
    'In the beginning',
    'Who art thou?',
    'The king said unto',
    'And',
    'Behold, I will',
    'To be, or not',
    'Moses',
    'the LORD',
  ]
  let equal = 0
  for (const prompt of prompts)
    if ((await complete(ours, prompt, tokens)).text === (await complete(theirs, prompt, tokens)).text) equal += 1
  return { equalTexts: `${equal} of ${prompts.length}` }
}

/** Requests that are wrong in one way or another; of each the answer, and whether the server still works. */
async function malformed(url: string, count: number): Promise<object> {
  const random = integers(7)
  const pick = <Value>(list: readonly Value[]): Value => list[random() % list.length] as Value
  const good =
    '{"prompt":"And","max_tokens":1,"temperature":0,"messages":[{"role":"user","content":"And"}],"input":"a","query":"a","documents":["b"]}'
  const values = [
    '1e999',
    '-1',
    '1e308',
    '99999999999999999999',
    '"\\ud800"',
    'null',
    '[]',
    '{}',
    '[[[[]]]]',
    'true',
    '""',
    '"a"',
    '0.5',
    '4294967296',
    `"${'x'.repeat(5000)}"`,
    '[1,999999999]',
    '[{}]',
  ]
  const keys = [
    'prompt',
    'max_tokens',
    'temperature',
    'messages',
    'input',
    'query',
    'documents',
    'top_p',
    'top_k',
    'n',
    'stop',
    'seed',
    'logit_bias',
    'logprobs',
    'stream',
    'grammar',
    'tools',
    'response_format',
    'model',
    'min_p',
  ]
  const paths = ['/v1/completions', '/v1/chat/completions', '/v1/embeddings', '/v1/rerank']
  const statuses: Record<string, number> = {}
  let withoutReason = 0
  const before = process.memoryUsage().rss
  for (let index = 0; index < count; index += 1) {
    const kind = random() % 4
    const cut = random() % good.length
    const body =
      kind === 0
        ? good.slice(0, cut)
        : kind === 1
          ? good.slice(0, cut) + String.fromCharCode(random() % 65_536) + good.slice(cut + 1)
          : kind === 2
            ? `{"max_tokens":1,"prompt":"a","messages":[{"role":"user","content":"a"}],${JSON.stringify(pick(keys))}:${pick(values)}}`
            : `${'['.repeat(random() % 5000)}${pick(values)}`
    const abort = new AbortController()
    // Some leave before the answer.
    if (random() % 20 === 0) setTimeout(() => abort.abort(), random() % 5)
    try {
      const answer = await fetch(url + pick(paths), {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
        signal: abort.signal,
      })
      const text = await answer.text()
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
      if (answer.status >= 400 && reasonIn(text) === undefined) withoutReason += 1
    } catch {
      const how = abort.signal.aborted ? 'left early' : 'without answer'
      statuses[how] = (statuses[how] ?? 0) + 1
    }
  }
  const works = (await complete(url, 'And', 1)).tokens === 1
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const inProgress = Number(/mq_requests_in_progress (\d+)/.exec(metrics)?.[1])
  return { malformed: { count, statuses, withoutReason, works, inProgress, grewBytes: process.memoryUsage().rss - before } }
}

/** What an answer says went wrong; undefined where it is not in the form of OpenAI's. */
function reasonIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message
  } catch {
    return undefined
  }
}

/** llama-server of the foreign programs, over the network of this machine; undefined where there is none. */
async function startPeer(
  model: string,
  parallel: number,
  contextLength: number,
  threads: number,
): Promise<{ url: string; close(): Promise<void> } | undefined> {
  if (!foreign.available || !foreign.has('llama-server')) {
    console.error(`NOT COMPARED with llama-server: ${foreign.name}`)
    return undefined
  }
  const port = await freePort()
  const flags = [
    '--model',
    model,
    '--port',
    `${port}`,
    '--parallel',
    `${parallel}`,
    '--ctx-size',
    `${contextLength * parallel}`,
    '--threads',
    `${threads}`,
    '--no-webui',
  ]
  const child = spawn(...foreign.enter('llama-server', flags, dirname(model)), { stdio: 'ignore', detached: true })
  const url = `http://127.0.0.1:${port}`
  const close = async (): Promise<void> => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const answer = await fetch(`${url}/health`).catch(() => undefined)
    if (answer?.ok === true) return { url, close }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  await close()
  throw new Error('llama-server did not start')
}
