import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

/** Where and with what a command line runs. */
export interface MqOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** How a command line ended, and what it wrote. */
export interface MqOutcome {
  readonly exitCode: number | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Runs the built command line as a user does. Never rejects: a failure is an exit code and what stands on stderr. */
export async function runMq(args: readonly string[], options: MqOptions = {}): Promise<MqOutcome> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [entry, ...args], {
    ...options,
    // as users have it: with anything else oclif adds warnings for developers
    env: { NODE_ENV: 'production', ...options.env },
    reject: false,
    timeout: 120_000,
    ...(options.input === undefined ? { stdin: 'ignore' } : {}),
  })
  return { exitCode, stdout, stderr }
}
