import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Only root may become another user. */
const mayBecome = process.getuid?.() === 0

test.skipIf(!mayBecome)(
  `a user that /etc/passwd does not have runs mq, as in a container${mayBecome ? '' : ' (SKIPPED, not root)'}`,
  () => {
    const env = { PATH: process.env['PATH'], HOME: '/' }
    const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/run.js', '--version'], {
      cwd: root,
      env,
      uid: 54_321,
      gid: 54_321,
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^mq\/\d/)
  },
)
