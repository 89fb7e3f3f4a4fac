import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Pulled, type PullOptions, pullRepository } from '../../../src/hub/index.js'
import { finish, type Progress } from '../../../src/progress/index.js'
import { temporaryFolder } from '../../support/tiny-model.js'
import { entryOf, type FileAnswer, sendAndCut, sendAsAsked, type WaywardOptions, waywardHub } from '../../support/wayward-hub.js'

const big = randomBytes(400_000)
const files = { 'config.json': Buffer.from('{}'), 'model.safetensors': big }
const isBig = (path: string): boolean => path === 'model.safetensors'

interface Outcome {
  readonly pulled: Pulled | undefined
  readonly code: string | undefined
  readonly message: string
  readonly directory: string
  /** Ranges of the requests for the big file; undefined for the whole of it. */
  readonly ranges: readonly (string | undefined)[]
  readonly notices: readonly string[]
}

/** Pulls from a hub that errs, and says what came of it; where a file has its name, its content is right. */
async function pullFrom(options: Partial<WaywardOptions>, asked: Partial<PullOptions> = {}, left?: Buffer): Promise<Outcome> {
  await using folder = await temporaryFolder()
  await using hub = await waywardHub({ files, ...options })
  if (left !== undefined) await writeFile(join(folder.path, 'model.safetensors.partial'), left)
  const notices: string[] = []
  const onProgress = ({ notice }: Progress): void => void (notice !== undefined && notices.push(notice))
  const work = pullRepository({ repo: 'ns/model', endpoint: hub.url, pauseMs: 1, directory: folder.path, ...asked })
  const outcome = await finish(work, onProgress).then(
    (pulled) => ({ pulled, code: undefined, message: '' }),
    ({ code, message }: { code: string; message: string }) => ({ pulled: undefined, code, message }),
  )
  for (const name of await readdir(folder.path)) {
    if (name === 'model.safetensors') expect(big.equals(await readFile(join(folder.path, name)))).toBe(true)
    expect(name).not.toMatch(/\.lock$/)
  }
  const requests = hub.requests.filter((line) => line.includes('/resolve/') && line.includes('model.safetensors'))
  return { ...outcome, directory: folder.path, notices, ranges: requests.map((line) => /bytes=\d+-$/.exec(line)?.[0]) }
}

/** Only the big file errs. */
function onBig(answer: FileAnswer): Partial<WaywardOptions> {
  return { onFile: (request, response) => (isBig(request.path) ? answer(request, response) : sendAsAsked(request, response)) }
}

/** The first answer is cut, so that the second is asked to go on. */
function afterCut(answer: FileAnswer): Partial<WaywardOptions> {
  return onBig((request, response) =>
    request.count === 0 ? sendAndCut(response, request.bytes, 100_000) : answer(request, response),
  )
}

describe('a server that is asked to go on', () => {
  const total = big.byteLength
  const goesOn: [string, FileAnswer][] = [
    ['and ignores the range', ({ bytes }, response) => void response.end(bytes)],
    [
      'and answers 200 with the right Content-Range',
      ({ bytes, start = 0 }, response) =>
        void response.writeHead(200, { 'Content-Range': `bytes ${start}-${total - 1}/${total}` }).end(bytes.subarray(start)),
    ],
    [
      'and begins a little earlier',
      ({ bytes, start = 0 }, response) =>
        void response
          .writeHead(206, { 'Content-Range': `bytes ${start - 500}-${total - 1}/${total}` })
          .end(bytes.subarray(start - 500)),
    ],
    [
      'and begins later',
      ({ bytes, start }, response) =>
        start === undefined
          ? void response.end(bytes)
          : void response
              .writeHead(206, { 'Content-Range': `bytes ${start + 7}-${total - 1}/${total}` })
              .end(bytes.subarray(start + 7)),
    ],
    [
      'and says it begins there, but does not',
      ({ bytes, start }, response) =>
        start === undefined
          ? void response.end(bytes)
          : void response
              .writeHead(206, { 'Content-Range': `bytes ${start}-${total - 1}/${total}` })
              .end(Buffer.concat([bytes.subarray(start + 3), Buffer.alloc(3)])),
    ],
    [
      'and sends 206 without saying from where',
      ({ bytes, start }, response) => void response.writeHead(start === undefined ? 200 : 206).end(bytes.subarray(start ?? 0)),
    ],
    [
      'and answers 416',
      ({ bytes, start }, response) =>
        start === undefined
          ? void response.end(bytes)
          : void response.writeHead(416, { 'Content-Range': `bytes */${total}` }).end(),
    ],
    [
      'and sends it without a length',
      ({ bytes, start = 0 }, response) => {
        response.writeHead(206, { 'Content-Range': `bytes ${start}-${total - 1}/*` })
        response.write(bytes.subarray(start, start + 10))
        response.end(bytes.subarray(start + 10))
      },
    ],
    [
      'and compresses all',
      ({ bytes }, response) => void response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(gzipSync(bytes)),
    ],
  ]
  test.each(goesOn)('%s, gives the file', async (_, answer) => {
    const { pulled, code, message } = await pullFrom(afterCut(answer))
    expect([code, message]).toEqual([undefined, ''])
    expect(pulled?.files).toEqual(['config.json', 'model.safetensors'])
  })

  test('is not asked for what is held', async () => {
    const { ranges } = await pullFrom(afterCut(sendAsAsked))
    expect(ranges).toHaveLength(2)
    // A cut may take bytes with it that were sent but not yet received.
    expect(Number(ranges[1]?.slice('bytes='.length, -1))).toBeLessThanOrEqual(100_000)
  })

  test('about a file of an earlier run that has changed since begins anew, once', async () => {
    const { pulled, ranges } = await pullFrom({}, {}, randomBytes(300_000))
    expect(pulled?.bytes).toBe(big.byteLength + 2)
    expect(ranges).toEqual(['bytes=300000-', undefined])
    const never = await pullFrom(
      onBig((_, response) => void response.end(randomBytes(big.byteLength))),
      {},
      randomBytes(300_000),
    )
    expect(never.code).toBe('DOWNLOAD_CORRUPT')
    expect(never.ranges).toHaveLength(2)
  })
})

describe('a download ends', () => {
  const lengths = [200_000, 300_000]
  test.each<[string, Partial<WaywardOptions>, string]>([
    [
      'without ranges, cut after moving numbers of bytes',
      onBig(({ bytes, count }, response) => sendAndCut(response, bytes, lengths[count % 2] as number)),
      'NETWORK',
    ],
    [
      'with a byte at a time',
      onBig(({ bytes, start = 0 }, response) =>
        sendAndCut(response, bytes.subarray(start), 1, start === 0 ? 200 : 206, {
          'Content-Range': `bytes ${start}-${big.byteLength - 1}/${big.byteLength}`,
        }),
      ),
      'NETWORK',
    ],
    [
      'that is longer than listed',
      onBig(({ bytes }, response) => void response.end(Buffer.concat([bytes, bytes]))),
      'DOWNLOAD_CORRUPT',
    ],
    [
      'that is longer than listed and says no length',
      onBig(({ bytes }, response) => {
        response.write(bytes)
        response.end('x')
      }),
      'DOWNLOAD_CORRUPT',
    ],
    [
      'that is shorter than listed',
      onBig(({ bytes, start = 0 }, response) =>
        sendAsAsked({ path: '', bytes: bytes.subarray(0, -10), start, count: 0 }, response),
      ),
      'DOWNLOAD_CORRUPT',
    ],
    [
      'that is forbidden',
      onBig(
        (_, response) =>
          void response.writeHead(403, { 'X-Error-Code': 'GatedRepo', 'X-Error-Message': 'Ask for access first.' }).end(),
      ),
      'ACCESS_DENIED',
    ],
    ['that wants a token', onBig((_, response) => void response.writeHead(401).end()), 'ACCESS_DENIED'],
    ['that is listed and not there', onBig((_, response) => void response.writeHead(404).end()), 'HUB_ANSWER_INVALID'],
    ['that has no content', onBig((_, response) => void response.writeHead(204).end()), 'HUB_ANSWER_INVALID'],
    ['that answers 416 to everything', onBig((_, response) => void response.writeHead(416).end()), 'HUB_ANSWER_INVALID'],
    [
      'that is moved in a circle',
      onBig((_, response) => void response.writeHead(302, { Location: '/ns/model/resolve/main/model.safetensors' }).end()),
      'HUB_ANSWER_INVALID',
    ],
    [
      'whose server asks to come back tomorrow',
      onBig((_, response) => void response.writeHead(429, { 'Retry-After': '86400' }).end()),
      'NETWORK',
    ],
  ])('%s', async (_, options, code) => {
    const outcome = await pullFrom(options)
    expect(outcome.code).toBe(code)
    expect(outcome.ranges.length).toBeLessThan(40)
  })

  test('and says that it waits, and why', async () => {
    const busy = onBig((request, response) =>
      request.count === 0
        ? void response.writeHead(429, { ratelimit: '"resolvers";r=0;t=2' }).end()
        : sendAsAsked(request, response),
    )
    const { pulled, notices } = await pullFrom(busy)
    expect(pulled?.files).toHaveLength(2)
    expect(notices).toEqual([expect.stringMatching(/^waiting [23] s before trying again: HTTP 429$/)])
  })

  test('when an address that the hub redirected to has expired, by asking for a new one', async () => {
    const { pulled } = await pullFrom({
      files: { ...files },
      onRequest(request, response) {
        if (request.url?.startsWith('/cdn') !== true) return false
        if (request.url.endsWith('0')) response.writeHead(403).end('Request has expired')
        else response.end(big)
        return true
      },
      ...onBig(({ count }, response) => void response.writeHead(302, { Location: `/cdn?${count}` }).end()),
    })
    expect(pulled?.files).toHaveLength(2)
  })
})

describe('a listing of several pages', () => {
  const many = Object.fromEntries(Array.from({ length: 7 }, (_, index) => [`f${index}.json`, Buffer.from(String(index))]))
  const include = ['*.json']
  test.each<[string, Partial<WaywardOptions>]>([
    ['absolute', {}],
    ['relative', { link: (next) => `<${next}>; rel="next"` }],
    ['relative to its own address', { link: (next) => `<?${next.split('?')[1]}>; rel="next"` }],
    ['without quotes and spaces', { link: (next, base) => `<${base}${next}>;rel=next` }],
    ['after another link', { link: (next, base) => `<${base}/first>; rel="first", <${base}${next}>; rel="next"` }],
    ['at the hub that a mirror mirrors', { link: (next) => `<https://hub.invalid${next}>; rel="next"`, prefix: '/mirror' }],
    [
      'without the prefix of a proxy',
      { link: (next, base) => `<${base}${next.replace('/mirror', '')}>; rel="next"`, prefix: '/mirror' },
    ],
  ])('whose Link is %s is read to its end', async (_, options) => {
    expect((await pullFrom({ files: many, pageSize: 3, ...options }, { include })).pulled?.files).toHaveLength(7)
  })

  test('that do not end is no listing', async () => {
    const { code } = await pullFrom({ files: many, pageSize: 3, link: () => '<?cursor=3>; rel="next"' }, { include })
    expect(code).toBe('HUB_ANSWER_INVALID')
  })
})

describe('what is listed', () => {
  test('under a name that cannot be a file is passed over unless it is wanted', async () => {
    const odd = entryOf('runs\\2024/events.out', Buffer.from('x'))
    expect((await pullFrom({ extraEntries: [odd] })).pulled?.files).toHaveLength(2)
    const wanted = await pullFrom({ extraEntries: [odd] }, { include: ['*'] })
    expect(wanted.code).toBe('HUB_ANSWER_INVALID')
    expect(wanted.message).toContain('runs')
    expect(wanted.message).not.toContain('leads out')
  })

  test('both as a file and as a folder is refused', async () => {
    const extraEntries = [entryOf('x', Buffer.from('x')), entryOf('x/y', Buffer.from('y'))]
    expect((await pullFrom({ extraEntries }, { include: ['*'] })).code).toBe('HUB_ANSWER_INVALID')
  })

  test.each([
    ['model-00001-of-00003.safetensors', 'model-00003-of-00003.safetensors', 'model-00002-of-00003.safetensors'],
    ['m-Q4_K_M-00001-of-00002.gguf', 'm-Q4_K_M-00003-of-00003.gguf', 'm-Q4_K_M-00002-of-00002.gguf'],
  ])('with a shard missing is REPO_INCOMPLETE: %s', async (first, other, missing) => {
    const shards = { 'config.json': Buffer.from('{}'), [first]: Buffer.from('a'), [other]: Buffer.from('b') }
    const { code, message } = await pullFrom({ files: shards })
    expect(code).toBe('REPO_INCOMPLETE')
    expect(message).toContain(missing)
  })

  test('with an index that names a file which is not there is REPO_INCOMPLETE', async () => {
    const index = Buffer.from(JSON.stringify({ weight_map: { a: 'model.safetensors', b: 'other.safetensors' } }))
    const { code, message } = await pullFrom({ files: { ...files, 'model.safetensors.index.json': index } })
    expect(code).toBe('REPO_INCOMPLETE')
    expect(message).toContain('other.safetensors')
  })
})

describe('several pulls into one folder', () => {
  test('fetch each file once, and all of them have it', async () => {
    await using folder = await temporaryFolder()
    await using hub = await waywardHub({
      files,
      ...onBig(async ({ bytes }, response) => {
        response.writeHead(200, { 'Content-Length': bytes.byteLength })
        for (let at = 0; at < bytes.byteLength; at += 50_000) {
          response.write(bytes.subarray(at, at + 50_000))
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
        response.end()
      }),
    })
    const pulls = await Promise.all(
      Array.from({ length: 4 }, () => finish(pullRepository({ repo: 'ns/model', endpoint: hub.url, directory: folder.path }))),
    )
    expect(pulls.map(({ files: got }) => got.length)).toEqual([2, 2, 2, 2])
    expect(big.equals(await readFile(join(folder.path, 'model.safetensors')))).toBe(true)
    expect(hub.requests.filter((line) => line.includes('model.safetensors'))).toHaveLength(1)
    expect((await readdir(folder.path)).sort()).toEqual(['config.json', 'model.safetensors'])
  })
})

describe('the environment', () => {
  afterEach(() => {
    vi.unstubAllEnvs()
  })

  test('names a proxy, and hosts that are reached without it', async () => {
    await using hub = await waywardHub({ files })
    const seen: string[] = []
    const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      seen.push(`${request.method} ${request.url}`)
      const target = new URL(request.url ?? '')
      const answer = await fetch(`${hub.url}${target.pathname}${target.search}`, { method: request.method ?? 'GET' })
      response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') ?? 'text/plain' })
      response.end(Buffer.from(await answer.arrayBuffer()))
    }
    const proxy = createServer((request, response) => void pass(request, response))
    await new Promise<void>((resolve) => {
      proxy.listen(0, '127.0.0.1', resolve)
    })
    const { port } = proxy.address() as { port: number }
    try {
      vi.stubEnv('HTTP_PROXY', `127.0.0.1:${port}`)
      await using folder = await temporaryFolder()
      const options = { repo: 'ns/model', endpoint: 'http://hub.invalid', directory: folder.path, pauseMs: 1 }
      expect((await finish(pullRepository(options))).files).toHaveLength(2)
      expect(seen.length).toBeGreaterThan(3)
      expect(seen.every((line) => line.startsWith('GET http://hub.invalid/'))).toBe(true)
      const before = seen.length
      vi.stubEnv('NO_PROXY', '127.0.0.1,.invalid')
      await using other = await temporaryFolder()
      expect((await finish(pullRepository({ ...options, endpoint: hub.url, directory: other.path }))).files).toHaveLength(2)
      await expect(finish(pullRepository(options))).rejects.toMatchObject({ code: 'NETWORK' })
      expect(seen).toHaveLength(before)
    } finally {
      proxy.closeAllConnections()
      proxy.close()
    }
  })

  test('names a proxy that is none', async () => {
    vi.stubEnv('HTTPS_PROXY', 'socks5://user:secret@127.0.0.1:1')
    await using folder = await temporaryFolder()
    const pulled = finish(pullRepository({ repo: 'ns/model', endpoint: 'https://hub.invalid', directory: folder.path }))
    const error = await pulled.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'PROXY_INVALID', exit: 2 })
    expect(JSON.stringify(error) + String(error)).not.toContain('secret')
  })

  test('holds a token that is none', async () => {
    vi.stubEnv('HF_TOKEN', 'abc\ndef')
    await using folder = await temporaryFolder()
    const error = await finish(pullRepository({ repo: 'ns/model', directory: folder.path })).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'TOKEN_INVALID', exit: 2 })
    expect(String(error)).not.toMatch(/abc|def/)
  })
})
