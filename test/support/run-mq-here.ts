import { fileURLToPath } from 'node:url'
import { Errors, run } from '@oclif/core'
import { captureOutput } from './run-command.js'
import type { MqOptions, MqOutcome } from './run-mq.js'

const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

let last: Promise<unknown> = Promise.resolve()

/**
 * Runs the built command line as bin/run.js does, in this process: a process of its own takes most of a second of processor time to start.
 * For whatever is not about the process itself (signals, stdin, how it ends, what it loads), which runMq is for. One at a time.
 */
export function runMqHere(args: readonly string[], options: Omit<MqOptions, 'input'> = {}): Promise<MqOutcome> {
  const outcome = last.then(() => runNow(args, options))
  last = outcome.catch(() => undefined)
  return outcome
}

async function runNow(args: readonly string[], { cwd, env = {} }: Omit<MqOptions, 'input'>): Promise<MqOutcome> {
  const before = { cwd: process.cwd(), exitCode: process.exitCode, env: { ...process.env } }
  const output = captureOutput()
  // as users have it: with anything else oclif adds warnings for developers
  Object.assign(process.env, { NODE_ENV: 'production', ...env })
  process.exitCode = 0
  if (cwd !== undefined) process.chdir(cwd)
  try {
    await run([...args], entry).catch((error: unknown) => {
      if (!(error instanceof Errors.ExitError)) throw error
      process.exitCode = error.oclif.exit ?? 0
    })
    const { stdout, stderr } = output.written
    return { exitCode: process.exitCode, stdout: withoutNewline(stdout), stderr: withoutNewline(stderr) }
  } finally {
    output.end()
    process.chdir(before.cwd)
    process.exitCode = before.exitCode
    for (const name of Object.keys(process.env)) if (!(name in before.env)) delete process.env[name]
    Object.assign(process.env, before.env)
  }
}

/** As runMq has it: the newline at the end is left out. */
function withoutNewline(text: string): string {
  return text.replace(/\n$/, '')
}
