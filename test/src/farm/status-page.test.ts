import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningRedis, redisServer, runRedis } from '../../../bench/redis.js'
import { build, unitVersion } from '../../../src/build/index.js'
import { parseQueue } from '../../../src/farm/address.js'
import { type Broker, openBroker } from '../../../src/farm/broker.js'
import { type FarmStatus, openFarm, type RunningFarmPage, startFarmPage, work } from '../../../src/farm/index.js'
import { type PresentWorker, sayPresent } from '../../../src/farm/presence.js'
import { finish } from '../../../src/progress/index.js'
import { chromiumName, hasChromium, openChromium } from '../../support/chromium.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'
import { type PageFindings, pageAudit } from '../../support/page-audit.js'

const hostile = '<img src=x onerror="document.title=\'taken over\'">'

describe.skipIf(!redisServer.available)(`the page of a farm (${redisServer.name})`, { timeout: 120_000 }, () => {
  let folder: string
  let redis: RunningRedis
  let broker: Broker
  let farm: RunningFarmPage

  const shared = { host: hostile, pid: 7, startedAt: '2026-01-02T03:04:05.000Z', version: unitVersion() }
  const sayWorker = (more: Partial<PresentWorker>): Promise<void> => {
    const worker = { ...shared, id: 'w1', threads: 2, done: 4, failed: 1, busySeconds: 8, ...more }
    return sayPresent(broker, 'worker', worker.id, worker)
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-farm-page-'))
    redis = await runRedis()
    broker = await openBroker(parseQueue(`${redis.url}?farm=shown`))
    const kinds = { plan: { done: 3, failed: 0, waiting: 2 }, 'quantize-part': { done: 2, failed: 1, waiting: 0 } }
    await sayPresent(broker, 'build', 'b', { ...shared, work: 'b', folder: '/work/<b>', waiting: 2, done: 5, kinds })
    await sayWorker({ unit: 'plan 01' })
    farm = await startFarmPage({ queue: `${redis.url}?farm=shown`, port: 0 })
  }, 60_000)

  afterAll(async () => {
    await farm.close()
    await broker[Symbol.asyncDispose]()
    await redis[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  test('shows units by kind, builds and workers, and escapes what they say of themselves', async () => {
    const answer = await fetch(farm.url)
    const html = await answer.text()
    expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'self'; connect-src 'self'/)
    expect(html).not.toContain('<img')
    expect(html).toContain('&lt;img src=x')
    expect(html).toContain('/work/&lt;b&gt;')
    const cellsOf = (kind: string): string[] => {
      const [, row = ''] = new RegExp(`<th scope="row" class="left">${kind}</th>(.*)</tr>`).exec(html) ?? []
      return [...row.matchAll(/<td[^>]*>(?:<span[^>]*>)?(\d+)/g)].map(([, cell = '']) => cell)
    }
    // Done, running, waiting, failed: one of the two plans runs.
    expect(cellsOf('plan')).toEqual(['3', '1', '1', '0'])
    expect(cellsOf('quantize-part')).toEqual(['2', '0', '0', '1'])
    expect([...html.matchAll(/<script[^>]*>/g)].map(([tag]) => tag)).toEqual(['<script src="/-/status.js" defer>'])
  })

  test('has the same as JSON and as metrics, and nothing else', async () => {
    const status = (await (await fetch(`${farm.url}/status.json`)).json()) as FarmStatus
    expect(status).toMatchObject({ farm: 'shown', unitsPerMinute: 30, workers: [{ id: 'w1' }] })
    expect(status.kinds).toContainEqual({ kind: 'plan', done: 3, failed: 0, running: 1, waiting: 1 })
    const metrics = await fetch(`${farm.url}/metrics`)
    expect(metrics.headers.get('content-type')).toContain('version=0.0.4')
    expect(await metrics.text()).toContain('mq_farm_kind_units{farm="shown",kind="plan",state="done"} 3\n')
    expect((await fetch(`${farm.url}/other`)).status).toBe(404)
    expect((await fetch(farm.url, { method: 'POST' })).status).toBe(404)
  })

  test('refuses a Host of elsewhere', async () => {
    const status = await new Promise((resolve, reject) => {
      request(farm.url, { headers: { host: 'elsewhere.example' } }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
        .once('error', reject)
        .end()
    })
    expect(status).toBe(403)
  })

  test('a port that is taken is said to be so', async () => {
    await expect(startFarmPage({ queue: redis.url, port: farm.port })).rejects.toMatchObject({ code: 'PORT_TAKEN' })
  })

  test('counts the units of a real build by kind', async () => {
    const queue = `${redis.url}?farm=real`
    await writeOneLayerSample(join(folder, 'sample'))
    const outputs = 'small: { preset: Q4_K_M }\n      large: { type: Q8_0 }'
    await writeFile(join(folder, 'build.yaml'), `models:\n  one:\n    source: sample\n    outputs:\n      ${outputs}\n`)
    const stopping = new AbortController()
    const working = (async () => {
      for await (const _ of work({ queue, threads: 1, signal: stopping.signal }));
    })()
    const page = await startFarmPage({ queue, port: 0 })
    try {
      await using opened = await openFarm({ queue })
      await finish(build({ file: join(folder, 'build.yaml'), work: join(folder, 'work'), executor: opened.executor }))
      // The build says what it has done every three seconds, and is there until it is closed.
      await expect
        .poll(async () => ((await (await fetch(`${page.url}/status.json`)).json()) as FarmStatus).kinds, { timeout: 20_000 })
        .toEqual([
          { kind: 'plan', done: 2, failed: 0, running: 0, waiting: 0 },
          { kind: 'quantize', done: 2, failed: 0, running: 0, waiting: 0 },
        ])
    } finally {
      stopping.abort()
      await working
      await page.close()
    }
  })

  describe.skipIf(!hasChromium)(`in ${chromiumName}`, () => {
    let context: BrowserContext
    let page: Page
    const shots = process.env['MQ_SCREENSHOTS']
    const shoot = async (name: string): Promise<void> => {
      if (shots !== undefined) await writeFile(join(shots, `${name}.png`), await page.screenshot({ fullPage: true }))
    }

    beforeAll(async () => {
      context = await openChromium(folder, { viewport: { width: 1200, height: 900 } })
      page = await context.newPage()
      if (shots !== undefined) await mkdir(shots, { recursive: true })
    }, 60_000)
    afterAll(() => context?.close())

    test('every control has a name, headings are in order, text has contrast, and a narrow screen suffices', async () => {
      await sayWorker({ unit: 'plan 01' })
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        await page.goto(farm.url)
        await shoot(`farm-${colorScheme}`)
        expect(await page.evaluate<PageFindings>(pageAudit)).toEqual({ faint: [], jumps: [], nameless: 0 })
      }
      await page.setViewportSize({ width: 380, height: 800 })
      await shoot('farm-narrow')
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(380)
      await page.setViewportSize({ width: 1200, height: 900 })
    })

    test('updates itself, asks nothing of elsewhere, and runs no script of a worker', async () => {
      const asked = new Set<string>()
      page.on('request', (request) => asked.add(new URL(request.url()).origin))
      const errors: string[] = []
      page.on('pageerror', (error) => errors.push(error.message))
      await page.goto(farm.url)
      await page.evaluate('globalThis.loaded = 1')
      await sayWorker({ id: 'w2', unit: 'quantize-part 02' })
      await page.getByRole('rowheader', { name: 'w2' }).waitFor({ timeout: 20_000 })
      // The same document: it was not loaded again.
      expect(await page.evaluate('globalThis.loaded')).toBe(1)
      expect(await page.title()).toMatch(/^Farm shown at 127\.0\.0\.1:\d+$/)
      expect([asked, errors]).toEqual([new Set([farm.url]), []])
    })

    test('says that the broker is away, and that the page itself is', async () => {
      const other = await runRedis()
      const own = await startFarmPage({ queue: other.url, port: 0 })
      try {
        await page.goto(own.url)
        await page.getByText('No build hands out units.').waitFor()
        await other[Symbol.asyncDispose]()
        await page.getByRole('alert').waitFor({ timeout: 20_000 })
        expect(await page.getByRole('alert').textContent()).toContain('cannot be reached')
        expect((await fetch(`${own.url}/metrics`)).status).toBe(503)
        await own.close()
        await expect.poll(() => page.getByRole('status').textContent(), { timeout: 20_000 }).toContain('does not answer')
      } finally {
        await own.close()
      }
    })
  })
})
