import { type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

/** What a process and all of its descendants used, from its start to its end. Linux alone: it is read from /proc. */
export interface Usage {
  readonly wallSeconds: number
  /** Of all threads, in user and in system mode. */
  readonly cpuSeconds: number
  /** Most memory that was resident at a time, shared pages counted for each process. */
  readonly peakBytes: number
  /** What system calls read and wrote, from the disk or from memory; pages that were mapped are not in it. */
  readonly readBytes: number
  readonly writtenBytes: number
  /** What the disk had to read. */
  readonly diskReadBytes: number
}

const pollMs = 25
/** sysconf(_SC_CLK_TCK) of Linux on every machine that Node runs on. */
const ticksPerSecond = 100
const pageBytes = 4096

/**
 * Runs a command to its end and watches it and its descendants: /proc is looked at every 25 ms, so what happens in the last moment is
 * missed.
 * @throws Error where it ends with anything but 0, with the end of what it wrote on stderr.
 */
export async function runWatched(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Usage> {
  const startedAt = performance.now()
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4000)
  })
  const seen = new Map<number, ProcessUsage>()
  let peakBytes = 0
  const look = (): void => {
    let resident = 0
    for (const pid of treeOf(child.pid ?? 0)) {
      const usage = usageOf(pid)
      if (usage === undefined) continue
      resident += usage.residentBytes
      seen.set(pid, usage)
    }
    peakBytes = Math.max(peakBytes, resident)
  }
  const timer = setInterval(look, pollMs)
  look()
  try {
    const [exitCode] = (await once(child, 'exit')) as [number | null]
    if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${stderr}`)
  } finally {
    clearInterval(timer)
  }
  const sum = (pick: (usage: ProcessUsage) => number): number =>
    [...seen.values()].reduce((total, usage) => total + pick(usage), 0)
  return {
    wallSeconds: (performance.now() - startedAt) / 1000,
    cpuSeconds: sum((usage) => usage.cpuSeconds),
    // The kernel's own high-water mark sees what falls between two looks, where there is one process.
    peakBytes: Math.max(peakBytes, ...[...seen.values()].map(({ highWaterBytes }) => highWaterBytes)),
    readBytes: sum((usage) => usage.readBytes),
    writtenBytes: sum((usage) => usage.writtenBytes),
    diskReadBytes: sum((usage) => usage.diskReadBytes),
  }
}

/** CPU time that a process has used so far, its children not counted. */
export function cpuSecondsOf(pid: number): number {
  return usageOf(pid)?.cpuSeconds ?? 0
}

/** CPU time of a process and its descendants so far, those that have ended included. */
export function cpuSecondsOfTree(pid: number): number {
  return treeOf(pid).reduce((sum, member) => {
    // Of children that were waited for, the parent has the time (cutime, cstime).
    const times = statOf(member)?.slice(11, 15) ?? []
    return sum + times.reduce((ticks, time) => ticks + Number(time), 0) / ticksPerSecond
  }, 0)
}

interface ProcessUsage {
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly highWaterBytes: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly diskReadBytes: number
}

function treeOf(root: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isSafeInteger(pid)) continue
    const stat = statOf(pid)
    if (stat !== undefined) parents.set(pid, Number(stat[1]))
  }
  const tree = new Set([root])
  // A child may have a lower number than its parent: until nothing is added.
  for (let before = 0; before < tree.size; ) {
    before = tree.size
    for (const [pid, parent] of parents) if (tree.has(parent)) tree.add(pid)
  }
  return [...tree]
}

/** Fields of /proc/PID/stat from the third on: state, parent ... */
function statOf(pid: number): string[] | undefined {
  const text = textOf(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

function usageOf(pid: number): ProcessUsage | undefined {
  const stat = statOf(pid)
  const io = textOf(`/proc/${pid}/io`)
  const status = textOf(`/proc/${pid}/status`)
  if (stat === undefined || io === undefined || status === undefined) return undefined
  const field = (text: string, name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return {
    cpuSeconds: (Number(stat[11]) + Number(stat[12])) / ticksPerSecond,
    residentBytes: Number(stat[21]) * pageBytes,
    highWaterBytes: 1024 * field(status, 'VmHWM'),
    readBytes: field(io, 'rchar'),
    writtenBytes: field(io, 'wchar'),
    diskReadBytes: field(io, 'read_bytes'),
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process has ended.
    return undefined
  }
}
