import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createToken } from '../../../src/registry/index.js'
import { renderReadme } from '../../../src/registry/page/readme.js'
import { chromiumName, hasChromium, openChromium } from '../../support/chromium.js'
import { type PageFindings, pageAudit } from '../../support/page-audit.js'
import { ask } from '../../support/push.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'
import { writeTinyGguf } from '../../support/tiny-model.js'
import { exampleReport } from '../../support/verify-report.js'

const readme = `---
license: apache-2.0
base_model: kjv/base
---
# Card of the model

[A file](sub/notes.txt), [elsewhere](https://example.org/), [bad](javascript:alert(1)), ![dot](dot.png) ![far](https://example.org/x.png)

<script>document.title = 'taken over'</script><img src=x onerror="document.title='taken over'">

| a | b |
|---|---|
| 1 | 2 |
`
const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

let registry: TestRegistry

beforeAll(async () => {
  registry = await runningRegistry()
  for (const [index, [tag, kld]] of (
    [
      ['Q2_K', 0.2],
      ['Q4_K_M', 0.02],
      ['Q8_0', 0.03],
    ] as const
  ).entries()) {
    const source = await writeTinyGguf(registry.folder, `m-${tag}.gguf`, { value: index })
    const sha256 = createHash('sha256')
      .update(await readFile(source))
      .digest('hex')
    const report = exampleReport({ kld: { value: kld, standardError: kld / 20 } })
    await writeFile(`${source}.verify.json`, JSON.stringify({ ...report, files: [{ ...report.files[0], sha256 }] }))
    await registry.publish({ source, name: `kjv/tiny:${tag}` })
  }
  await registry.publish({ source: 'samples/llama-kjv', name: 'kjv/llama' })
  const { token } = await createToken(registry.directory, { name: 'writer', write: true })
  const file = (path: string, content: string): string =>
    JSON.stringify({ key: 'file', value: { path, content, encoding: 'base64' } })
  const body = [file('README.md', Buffer.from(readme).toString('base64')), file('dot.png', pixel)].join('\n')
  await ask(registry.url, '/api/models/kjv/tiny/commit/main', { method: 'POST', body, token })
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

const html = async (path: string): Promise<string> => (await ask(registry.url, path)).text()

describe('pages without a browser', () => {
  test('the list of models, and its search', async () => {
    const all = await html('/')
    expect(all).toContain('href="/kjv/tiny"')
    expect(all).toContain('href="/kjv/llama"')
    const found = await html('/?q=q2_k+tiny')
    expect([found.includes('href="/kjv/tiny"'), found.includes('href="/kjv/llama"')]).toEqual([true, false])
    expect(await html('/?q=%22%3E%3Cscript%3E')).not.toContain('"><script>')
    expect(await html('/?q=&page=99')).toContain('Models')
  })

  test('a model: sizes, bits, figures, commands, files; what is not there is not found', async () => {
    const page = await html('/kjv/tiny?tag=Q2_K')
    for (const words of [
      '32.000',
      '0.2',
      'license',
      'apache-2.0',
      'HF_ENDPOINT=',
      'ollama pull --insecure',
      'docker model pull',
      'skopeo copy',
    ])
      expect(page).toContain(words)
    expect(page).toMatch(/<svg[^>]* aria-label="KL divergence/)
    expect(await html('/kjv/tiny/report/Q2_K')).toContain('against f16.gguf')
    const none = await ask(registry.url, '/kjv/none', { headers: { accept: 'text/html' } })
    expect([none.status, await none.text()]).toEqual([404, expect.stringContaining('Not found')])
    expect((await ask(registry.url, '/kjv/tiny/report/none')).status).toBe(404)
  })

  test('nothing comes from elsewhere, and no script but the one of the page', async () => {
    for (const path of ['/', '/kjv/tiny', '/kjv/tiny/report/Q2_K']) {
      const answer = await ask(registry.url, path)
      expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'self'/)
      const scripts = [...(await answer.text()).matchAll(/<script[^>]*>/g)].map(([tag]) => tag)
      expect(scripts.filter((tag) => tag !== '<script src="/-/page.js" defer>')).toEqual([])
    }
    const file = await ask(registry.url, '/kjv/tiny/resolve/main/README.md')
    expect(file.headers.get('content-security-policy')).toContain('sandbox')
  })

  test.each([
    ['<script>alert(1)</script>', '<script'],
    ['<img src=x onerror=alert(1)>', '<img'],
    ['[x](javascript:alert(1))', 'href="javascript'],
    ['[x](JaVaScRiPt&#58;alert(1))', 'href="JaVa'],
    ['[x](data:text/html;base64,PHNjcmlwdD4=)', 'href="data:text'],
    ['[x](vbscript:x)', 'href="vbscript'],
    ['![x](https://elsewhere.example/x.png)', '<img'],
    ['![x](../../../../etc/passwd)', '<img'],
    ['![x](%2e%2e/x.png)', '<img'],
    ['<a href="javascript:x">x</a>', '<a href="j'],
    ['[x](https://a.example/"onmouseover="alert(1))', '"onmouseover="'],
    ['```"><script>\nx\n```', '<script'],
    ['<svg/onload=alert(1)>', '<svg'],
    ['<!-- <script> --><iframe src=x>', '<iframe'],
  ])('a card of %j is harmless', async (text, harm) => {
    expect((await renderReadme(text, '/kjv/x/resolve/main')).html.text).not.toContain(harm)
  })
})

describe.skipIf(!hasChromium)(`pages in ${chromiumName}`, () => {
  let context: BrowserContext
  let page: Page
  const shots = process.env['MQ_SCREENSHOTS']

  beforeAll(async () => {
    context = await openChromium(registry.folder, { viewport: { width: 1200, height: 900 } })
    page = await context.newPage()
    if (shots !== undefined) await mkdir(shots, { recursive: true })
  })

  afterAll(async () => {
    await context?.close()
  })

  async function shoot(name: string): Promise<void> {
    if (shots !== undefined) await writeFile(join(shots, `${name}.png`), await page.screenshot({ fullPage: true }))
  }

  test('search, a model and its commands, by keyboard alone', async () => {
    const asked: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).origin))
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(error.message))
    await page.goto(registry.url)
    await shoot('home')
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content')
    await page.getByRole('searchbox', { name: 'Search models' }).focus()
    await page.keyboard.type('tiny')
    await page.keyboard.press('Enter')
    await page.waitForURL(/\?q=tiny/)
    const rows = page.getByRole('row')
    expect(await rows.count()).toBe(2)
    await page.getByRole('link', { name: 'kjv/tiny' }).focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/kjv\/tiny$/)
    await shoot('model')
    expect(await page.title()).toBe('kjv/tiny, mq registry')
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('kjv/tiny')
    expect(await page.getByRole('img', { name: /^KL divergence/ }).isVisible()).toBe(true)
    await page.getByRole('button', { name: 'Copy the command for llama.cpp' }).focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => page.getByRole('status').textContent()).toMatch(/Copied|Selected/)
    // The card's own picture is shown, nothing is asked from elsewhere, no script of the card ran.
    const widths = `[...document.querySelectorAll('.readme img')].map((image) => image.naturalWidth)`
    await expect.poll(() => page.evaluate(widths)).toEqual([1])
    expect([new Set(asked), errors]).toEqual([new Set([registry.url]), []])
    await page.getByRole('link', { name: 'Q2_K' }).click()
    await page.waitForURL(/tag=Q2_K/)
    expect(await page.getByRole('heading', { name: 'Get kjv/tiny:Q2_K' }).isVisible()).toBe(true)
  })

  test('every control has a name, headings are in order, and text has contrast, in light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.goto(`${registry.url}/kjv/tiny`)
      await shoot(`model-${colorScheme}`)
      const found = await page.evaluate<PageFindings>(pageAudit)
      expect(found).toEqual({ faint: [], jumps: [], nameless: 0 })
    }
  })

  test('fits a narrow screen', async () => {
    await page.setViewportSize({ width: 380, height: 800 })
    await page.goto(`${registry.url}/kjv/tiny`)
    await shoot('model-narrow')
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(380)
    await page.setViewportSize({ width: 1200, height: 900 })
  })

  test('works without scripts', async () => {
    const other = await openChromium(join(registry.folder, 'plain'), { javaScriptEnabled: false }).catch(
      async (error: unknown) => {
        throw error
      },
    )
    try {
      const plain = await other.newPage()
      await plain.goto(`${registry.url}/?q=tiny`)
      await plain.getByRole('link', { name: 'kjv/tiny' }).click()
      expect(await plain.getByText('HF_ENDPOINT=').first().isVisible()).toBe(true)
      expect(await plain.getByRole('button', { name: /^Copy/ }).count()).toBe(0)
    } finally {
      await other.close()
    }
  })
})
