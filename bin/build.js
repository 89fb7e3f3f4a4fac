#!/usr/bin/env node
// Builds dist/: kernels only where their sources have changed, TypeScript incrementally, and nothing of sources that are gone.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
const kernels = join(root, 'formats', 'ggml', 'kernels')
const wasm = join(dist, 'formats', 'ggml', 'kernels.wasm')
const stamp = join(dist, '.kernels')

const run = (...args) => execFileSync('npx', ['--no-install', ...args], { cwd: root, stdio: 'inherit' })
const filesIn = (folder) => (existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted() : [])

/** The licences of the packages that modules are from. */
function licencesOf(modules) {
  const folders = new Set(modules.flatMap((id) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []))
  const texts = [...folders]
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
      return `${name} ${version} (${license})\n\n${file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim()}\n`
    })
  return texts.join(`\n${'-'.repeat(80)}\n`)
}

const hash = createHash('sha256')
for (const name of ['asconfig.json', 'package-lock.json']) hash.update(readFileSync(join(root, name)))
for (const name of filesIn(kernels).filter((name) => name.endsWith('.ts')))
  hash.update(name).update(readFileSync(join(kernels, name)))
const digest = hash.digest('hex')
if (!existsSync(wasm) || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== digest) {
  mkdirSync(dirname(wasm), { recursive: true })
  run('asc', '--config', 'asconfig.json', '--target', 'release')
  writeFileSync(stamp, digest)
}

// Bundles have no sources of their own name.
const bundles = join(dist, 'bundles')
// tsc removes nothing: what a moved or deleted source left behind would still be found as a command or a worker.
for (const name of filesIn(dist).filter((name) => /\.(?:js|d\.ts)$/.test(name))) {
  if (!name.startsWith('bundles') && !existsSync(join(root, name.replace(/\.(?:js|d\.ts)$/, '.ts'))))
    for (const end of ['', '.map']) rmSync(join(dist, `${name}${end}`), { force: true })
}
run('tsc', '-p', 'tsconfig.build.json', '--incremental', '--tsBuildInfoFile', join(dist, '.tsbuildinfo'))
// What is started again and again, a thread or a process each time, loads one file in place of a hundred.
rmSync(bundles, { recursive: true, force: true })
await build({
  input: { 'quantize-worker': join(dist, 'src/engine/worker.js'), 'llama-child': join(dist, 'src/runner/child/main.js') },
  platform: 'node',
  external: [/^node:/, /^[a-z@#][^:]*$/i],
  output: { dir: bundles, format: 'esm', sourcemap: true },
})
// The queue's client is a part of the package, not a dependency of it: see docs/decisions/0021-farm.md. Its licences go with it.
const queue = await build({
  input: { bullmq: join(dist, 'src/farm/bullmq.js') },
  platform: 'node',
  external: [/^node:/, 'bullmq-otel', 'msgpackr-extract', 'pg', 'redis'],
  output: { dir: bundles, format: 'esm', minify: true },
})
writeFileSync(join(bundles, 'bullmq.LICENSES.txt'), licencesOf(queue.output.flatMap(({ moduleIds = [] }) => moduleIds)))
if (process.argv.includes('--types')) run('tsc', '-p', 'tsconfig.types.json')
// When this build ended: test/support/fresh-build.ts holds the sources against it.
writeFileSync(join(dist, '.built'), '')
