import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vitest/config'

const root = fileURLToPath(new URL('.', import.meta.url))

/** Tests import what is built: `../src/x.js` is dist/src/x.js, which Node loads itself (docs/decisions/0023-tests-run-the-build.md). */
const built: Plugin = {
  name: 'built',
  enforce: 'pre',
  resolveId(source, importer) {
    if (importer === undefined || !source.startsWith('.')) return undefined
    const path = relative(root, resolve(dirname(importer), source))
    if (!/^(?:bench|commands|formats|src)\/.*\.js$/.test(path)) return undefined
    // A module whose source is gone is gone, whatever an earlier build left.
    return existsSync(resolve(root, path.replace(/\.js$/, '.ts'))) ? resolve(root, 'dist', path) : undefined
  },
}

/** Files that load llama.cpp into their own process, and tell its binding how before: they have a process each. */
const withLlama = [
  'test/commands/budgets.test.ts',
  'test/commands/plan-headers.test.ts',
  'test/src/footprint/families.test.ts',
  'test/src/footprint/footprint.test.ts',
]
const all = ['test/**/*.test.ts']

export default defineConfig({
  plugins: [built],
  test: {
    globalSetup: ['test/support/fresh-build.ts'],
    setupFiles: ['test/support/equal-bytes.ts'],
    server: { deps: { external: [/\/dist\/(?:bench|commands|formats|src)\//] } },
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
