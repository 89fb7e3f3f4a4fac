import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/fresh-build.ts'],
    // against hanging only: other work on the machine may make a test ten times slower
    testTimeout: 180_000,
    hookTimeout: 240_000,
    pool: 'forks',
    // Half of the time went into loading the same modules again for each file; so a file leaves nothing behind, env and listeners included.
    isolate: false,
    // vitest itself leaves one core idle, which on two cores is half of the machine.
    maxWorkers: availableParallelism(),
  },
})
