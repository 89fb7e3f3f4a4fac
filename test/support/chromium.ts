import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrowserContext, type BrowserContextOptions, chromium } from 'playwright-core'
import { foreign } from './foreign.js'

const own = [process.env['MQ_CHROMIUM'], '/usr/bin/chromium', '/usr/bin/google-chrome'].find((path) => path && existsSync(path))
const isForeign = own === undefined && foreign.available && foreign.has('chromium')

/** Whether there is a Chromium: $MQ_CHROMIUM, this machine's, or that of the foreign programs. */
export const hasChromium = own !== undefined || isForeign
/** For the title of tests: says why they are skipped. */
export const chromiumName = hasChromium ? 'Chromium' : 'SKIPPED, there is no Chromium: set MQ_CHROMIUM'

/** Starts Chromium with a profile below `folder`. Close the context when done. */
export async function openChromium(folder: string, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const profile = join(folder, 'profile')
  await mkdir(profile, { recursive: true })
  const executablePath = own ?? (await foreignChromium(folder))
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
  return chromium.launchPersistentContext(profile, { executablePath, headless: true, args, ...options })
}

/** A program that enters the folder of foreign programs, which sees `folder` under the same path. */
async function foreignChromium(folder: string): Promise<string> {
  const path = join(folder, 'chromium.sh')
  const [command, args] = foreign.enter('chromium', [], folder)
  const words = [command, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  await writeFile(path, `#!/bin/sh\nexec ${words} "$@"\n`)
  await chmod(path, 0o755)
  return path
}
