import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { recordBytes } from '../src/quantize/journal.js'
import { taskElements } from '../src/quantize/tasks.js'
import { samplePath } from './data.js'
import { mqEntry } from './pipeline.js'
import { cpuSecondsOf, runWatched } from './process-tree.js'
import { uniforms } from './random.js'
import { writeSynthetic } from './synthetic-checkpoint.js'

/** A run that was killed many times, against one that was left alone. */
export interface KillsMeasurement {
  readonly kills: number
  readonly weights: number
  /** Whether the file has the bytes of the undisturbed one. */
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
 * @param bytes of the bf16 checkpoint.
 */
export async function benchKills(bytes: number, kills: number, say: (text: string) => void): Promise<KillsMeasurement> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-kills-'))
  try {
    const { imatrix, weights } = await writeSynthetic(join(folder, 'model'), bytes)
    const command = [mqEntry(), 'quantize', join(folder, 'model'), '--preset', 'Q4_K_M', '--imatrix', imatrix]
    const options = { env: { ...process.env, NODE_ENV: 'production' } }
    const output = join(folder, 'killed.gguf')
    const args = [...command, '-o', output]

    say('an undisturbed run')
    const undisturbed = await runWatched(process.execPath, [...command, '-o', join(folder, 'whole.gguf')], options)
    const small = [mqEntry(), 'quantize', dirname(samplePath()), '--type', 'q8_0', '-o', join(folder, 'small.gguf')]
    const start = await runWatched(process.execPath, small, options)
    const expected = await sha256(join(folder, 'whole.gguf'))
    await rm(join(folder, 'whole.gguf'))

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
    const last = (await sizeOf(output)) > 0 ? undefined : await runWatched(process.execPath, args, options)
    totalCpuSeconds += last?.cpuSeconds ?? 0
    const repeated = totalCpuSeconds - undisturbed.cpuSeconds - kills * start.cpuSeconds
    return {
      kills,
      weights,
      identical: (await sha256(output)) === expected,
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

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
