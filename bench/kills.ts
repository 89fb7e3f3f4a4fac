import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { recordBytes } from '../src/quantize/output/journal-format.js'
import { taskElements } from '../src/quantize/tasks.js'
import { samplePath } from './data.js'
import { mqEntry } from './pipeline.js'
import { cpuSecondsOf, runWatched } from './process-tree.js'
import { uniforms } from './random.js'
import { writeSynthetic } from './synthetic-checkpoint.js'

export interface KillsOptions {
  /** Of the bf16 checkpoint. */
  readonly bytes: number
  readonly kills: number
  /** --split-max-size of `mq quantize`; one file without it. */
  readonly splitMaxSize?: string
}

/** A run that was killed many times, against one that was left alone. */
export interface KillsMeasurement {
  readonly kills: number
  readonly weights: number
  /** Files that were written. */
  readonly files: number
  /** Whether they have the bytes of the undisturbed run's. */
  readonly identical: boolean
  /** CPU time of the undisturbed run, and of one on a model so small that it is all start. */
  readonly undisturbedCpuSeconds: number
  readonly startCpuSeconds: number
  /** CPU time of all the killed runs and of the last one. */
  readonly totalCpuSeconds: number
  /**
   * What was done again for each kill, as a share of the undisturbed run: CPU time without that of starting, but with that of checking
   * what is there already.
   */
  readonly repeatedShare: number
}

/**
 * Kills `mq quantize` with SIGKILL at `kills` random moments, spread over the work, then lets it finish.
 */
export async function benchKills(options: KillsOptions, say: (text: string) => void): Promise<KillsMeasurement> {
  const { bytes, kills, splitMaxSize } = options
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-kills-'))
  try {
    const { imatrix, weights } = await writeSynthetic(join(folder, 'model'), bytes)
    const split = splitMaxSize === undefined ? [] : ['--split-max-size', splitMaxSize]
    const command = [mqEntry(), 'quantize', join(folder, 'model'), '--preset', 'Q4_K_M', '--imatrix', imatrix, ...split]
    const options = { env: { ...process.env, NODE_ENV: 'production' } }
    for (const name of ['whole', 'killed']) await mkdir(join(folder, name))
    const output = join(folder, 'killed', 'model.gguf')
    const args = [...command, '-o', output]

    say('an undisturbed run')
    const undisturbed = await runWatched(process.execPath, [...command, '-o', join(folder, 'whole', 'model.gguf')], options)
    const small = [mqEntry(), 'quantize', dirname(samplePath()), '--type', 'q8_0', '-o', join(folder, 'small.gguf')]
    const start = await runWatched(process.execPath, small, options)
    const expected = await digests(join(folder, 'whole'))
    await rm(join(folder, 'whole'), { recursive: true })

    const next = uniforms(25)
    // A record is of one size: the journal's length says how far the work is.
    const journalBytes = (weights / taskElements) * recordBytes
    const moments = Array.from({ length: kills }, () => journalBytes * next()).toSorted((a, b) => a - b)
    let totalCpuSeconds = 0
    for (const [index, moment] of moments.entries()) {
      const child = spawn(process.execPath, args, { ...options, stdio: 'ignore' })
      const ended = once(child, 'exit')
      while (child.exitCode === null && (await sizeOf(`${output}.partial.journal`)) < moment) await sleep(1)
      await sleep(20 * next())
      totalCpuSeconds += cpuSecondsOf(child.pid ?? 0)
      child.kill('SIGKILL')
      await ended
      say(`kill ${index + 1} of ${kills} at ${((100 * moment) / journalBytes).toFixed(1)} %`)
    }
    const left = await readdir(join(folder, 'killed'))
    const whole = left.length > 0 && left.every((name) => name.endsWith('.gguf'))
    const last = whole ? undefined : await runWatched(process.execPath, args, options)
    totalCpuSeconds += last?.cpuSeconds ?? 0
    const repeated = totalCpuSeconds - undisturbed.cpuSeconds - kills * start.cpuSeconds
    return {
      kills,
      weights,
      files: expected.length,
      identical: isDeepStrictEqual(await digests(join(folder, 'killed')), expected),
      undisturbedCpuSeconds: undisturbed.cpuSeconds,
      startCpuSeconds: start.cpuSeconds,
      totalCpuSeconds,
      repeatedShare: repeated / undisturbed.cpuSeconds / kills,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

/** Names and SHA-256 of the files in a folder. */
async function digests(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).toSorted()
  return Promise.all(names.map(async (name) => `${name} ${await sha256(join(folder, name))}`))
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
