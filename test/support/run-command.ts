import { format } from 'node:util'
import type { Command } from '@oclif/core'
import { vi } from 'vitest'

export interface CommandOutcome {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/** What is written to stdout and stderr from here on, in place of the terminal. */
export function captureOutput(): { readonly written: { stdout: string; stderr: string }; end(): void } {
  const written = { stdout: '', stderr: '' }
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((...values: unknown[]) => void (written.stdout += `${format(...values)}\n`)),
    ...(['stdout', 'stderr'] as const).map((stream) =>
      vi.spyOn(process[stream], 'write').mockImplementation((text) => {
        written[stream] += String(text)
        return true
      }),
    ),
  ]
  return {
    written,
    end() {
      for (const spy of spies) spy.mockRestore()
    },
  }
}

/** Runs a command in this process, without bin/ and dist/, and returns what it wrote. */
export async function runCommand(command: typeof Command, argv: string[]): Promise<CommandOutcome> {
  const output = captureOutput()
  const before = process.exitCode
  process.exitCode = 0
  try {
    await (command as unknown as { run(argv: string[], options: string): Promise<unknown> }).run(argv, import.meta.url)
    return { ...output.written, exitCode: process.exitCode }
  } finally {
    process.exitCode = before
    output.end()
  }
}
