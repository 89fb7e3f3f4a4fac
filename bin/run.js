#!/usr/bin/env node
import { Errors, flush, handle, run } from '@oclif/core'

// Containers are run as users that /etc/passwd does not have: oclif looks a shell that the environment does not say up there, and fails.
if (process.platform !== 'win32') process.env.SHELL ??= '/bin/sh'

try {
  await run(process.argv.slice(2), import.meta.url)
  await flush()
} catch (error) {
  // What goes wrong inside a command is shown by the command; here is what never reached one.
  if (error instanceof Errors.CLIError && error.message.endsWith(' not found')) {
    process.stderr.write(
      `mq: USAGE: There is no ${error.message.slice(0, -' not found'.length).replaceAll(':', ' ')}. See \`mq --help\`.\n`,
    )
    process.exitCode = 2
  } else {
    await handle(error)
  }
}
