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
    // vitest itself leaves one core idle, which on two cores is half of the machine.
    maxWorkers: availableParallelism(),
  },
})
