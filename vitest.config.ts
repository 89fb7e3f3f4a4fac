import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/** Files that load llama.cpp into their own process, and tell its binding how before: they have a process each. */
const withLlama = [
  'test/commands/budgets.test.ts',
  'test/commands/plan-headers.test.ts',
  'test/src/footprint/families.test.ts',
  'test/src/footprint/footprint.test.ts',
]
const all = ['test/**/*.test.ts']

export default defineConfig({
  test: {
    globalSetup: ['test/support/fresh-build.ts'],
    setupFiles: ['test/support/equal-bytes.ts'],
    // against hanging only: other work on the machine may make a test ten times slower
    testTimeout: 180_000,
    hookTimeout: 240_000,
    pool: 'forks',
    projects: [
      // Half of the time went into loading the same modules again for each file; so a file leaves nothing behind, env and listeners included.
      { extends: true, test: { name: 'shared', include: all, exclude: withLlama, isolate: false } },
      { extends: true, test: { name: 'alone', include: withLlama } },
    ],
    // vitest itself leaves one core idle, which on two cores is half of the machine.
    maxWorkers: availableParallelism(),
  },
})
