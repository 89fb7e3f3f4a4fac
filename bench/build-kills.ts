import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { BuildReport } from '../src/build/index.js'
import { mqEntry } from './pipeline.js'
import { cpuSecondsOfTree, runWatched } from './process-tree.js'
import { uniforms } from './random.js'

/** A build that was killed many times, against one that was left alone. */
export interface BuildKillsMeasurement {
  readonly kills: number
  readonly outputs: number
  /** Whether all outputs have the bytes of the undisturbed build's. */
  readonly identical: boolean
  /** CPU time of the undisturbed build, of one that finds everything done, and of all killed runs with the last. */
  readonly undisturbedCpuSeconds: number
  readonly startCpuSeconds: number
  readonly totalCpuSeconds: number
  /** What was done again for each kill, as a share of the undisturbed build; starting is not counted. */
  readonly repeatedShare: number
}

/** Kills `mq build` with SIGKILL at `kills` random moments, one after another, then lets it finish. Linux alone. */
export async function benchBuildKills(
  { file, kills, seed }: { readonly file: string; readonly kills: number; readonly seed: number },
  say: (text: string) => void,
): Promise<BuildKillsMeasurement> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-build-kills-'))
  const env = { ...process.env, NODE_ENV: 'production', MQ_REGISTRY: join(folder, 'registry') }
  const argsOf = (work: string): string[] => [mqEntry(), 'build', file, '--work', join(folder, work)]
  try {
    say('an undisturbed build')
    const undisturbed = await runWatched(process.execPath, argsOf('whole'), { env })
    const start = await runWatched(process.execPath, argsOf('whole'), { env })
    const expected = await digestsOfBuild(join(folder, 'whole'))
    say(`${undisturbed.cpuSeconds.toFixed(1)} s of processor time, ${start.cpuSeconds.toFixed(1)} s where everything is done`)
    const next = uniforms(seed)
    // So that the kills lie anywhere, and all of them within the work.
    const most = (2 * undisturbed.cpuSeconds) / (kills + 1)
    let totalCpuSeconds = 0
    let done = 0
    for (let kill = 0; kill < kills; kill++) {
      const moment = start.cpuSeconds * 0.5 + most * next()
      const child = spawn(process.execPath, argsOf('killed'), { env, stdio: 'ignore' })
      const ended = once(child, 'exit')
      let spent = 0
      while (child.exitCode === null && spent < moment) {
        await sleep(20)
        spent = Math.max(spent, cpuSecondsOfTree(child.pid ?? 0))
      }
      const wasKilled = child.exitCode === null
      child.kill('SIGKILL')
      await ended
      totalCpuSeconds += spent
      if (wasKilled) done += 1
      say(
        wasKilled
          ? `kill ${kill + 1} of ${kills}, after ${spent.toFixed(1)} s of processor time`
          : 'it had ended before the kill',
      )
    }
    const last = await runWatched(process.execPath, argsOf('killed'), { env })
    totalCpuSeconds += last.cpuSeconds
    const repeated = totalCpuSeconds - undisturbed.cpuSeconds - kills * start.cpuSeconds
    return {
      kills: done,
      outputs: expected.length,
      identical: isDeepStrictEqual(await digestsOfBuild(join(folder, 'killed')), expected),
      undisturbedCpuSeconds: undisturbed.cpuSeconds,
      startCpuSeconds: start.cpuSeconds,
      totalCpuSeconds,
      repeatedShare: repeated / undisturbed.cpuSeconds / Math.max(1, done),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Names and digests of all outputs of a build. */
export async function digestsOfBuild(work: string): Promise<string[]> {
  const { models } = JSON.parse(await readFile(join(work, 'summary.json'), 'utf8')) as BuildReport
  return models.flatMap(({ name, outputs }) =>
    outputs.flatMap((output) => output.files.map(({ sha256 }) => `${name}/${output.name} ${sha256}`)),
  )
}
