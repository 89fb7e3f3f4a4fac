import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Tests import dist/, and worker threads and llama.cpp's child run from it: builds it anew where a source is newer, so that no test runs
 * against a stale build.
 * Makes the folder in which test files share the GGUF files of the samples.
 * @returns what takes that folder away.
 */
export default function setup(): () => void {
  const built = newest(join(root, 'dist'), /^\.built$/)
  const sources = ['bench', 'commands', 'formats', 'src'].map((folder) => newest(join(root, folder), /\.ts$/))
  if (Math.max(...sources) > built) execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' })
  const models = mkdtempSync(join(tmpdir(), 'mq-test-models-'))
  process.env['MQ_TEST_MODELS'] = models
  return () => rmSync(models, { recursive: true, force: true })
}

/** When the newest of the files with such names was changed; 0 where there are none. */
function newest(folder: string, names: RegExp): number {
  try {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => names.test(name))
    return Math.max(0, ...files.map((name) => statSync(join(folder, name)).mtimeMs))
  } catch {
    return 0
  }
}
