import type { SimulatedUnit, Stage } from './graph.js'

/** The farm that is simulated. */
export interface SimulatedFarm {
  readonly workers: number
  /** Of each worker. */
  readonly threads: number
  /** Of the network card of each machine, the build's too. */
  readonly linkBytesPerSecond: number
  /** Of the shared folder, for all machines together. */
  readonly storageBytesPerSecond: number
  /** Until a unit that waits has begun, and for its delivery. */
  readonly brokerSeconds: number
  /** SHA-256, of one thread. */
  readonly hashBytesPerSecond: number
}

/** What a simulation has come to. */
export interface Simulated {
  readonly workers: number
  readonly seconds: number
  /** Read and written in the shared folder, by workers and by the build. */
  readonly movedBytes: number
  /** Share of the workers' time in which they compute. */
  readonly computing: number
  /** Share of the time in which the shared folder gives all that it can. */
  readonly storageBusy: number
  /** Share of the time in which the build reads results to check them. */
  readonly checking: number
}

/** What a machine is doing: bytes to move over its link, or a time to wait. */
interface Doing {
  bytes: number
  seconds: number
  readonly done: () => void
}

/**
 * Runs units of stages in their order on workers that share a folder: a worker reads, computes, writes and hashes; the build then reads the result
 * and hashes it, one result after the other. Links and folder are shared fairly.
 */
export function simulate(stages: readonly Stage[], farm: SimulatedFarm): Simulated {
  const { workers, threads, linkBytesPerSecond, storageBytesPerSecond, brokerSeconds, hashBytesPerSecond } = farm
  const left = new Map(stages.map(({ name, units }) => [name, units.length]))
  const opened = new Set<string>()
  const waiting: { readonly stage: string; readonly unit: SimulatedUnit }[] = []
  const doing = new Set<Doing>()
  const unchecked: { readonly stage: string; readonly unit: SimulatedUnit }[] = []
  let [now, idle, isChecking] = [0, workers, false]
  let [moved, computing, storageBusy, checking, next] = [0, 0, 0, 0, 0]

  const start = (bytes: number, seconds: number, done: () => void): void => void doing.add({ bytes, seconds, done })
  const open = (): void => {
    for (const { name, after, units } of stages) {
      if (opened.has(name) || after.some((other) => left.get(other) !== 0)) continue
      opened.add(name)
      for (const unit of units) waiting.push({ stage: name, unit })
    }
  }
  const check = (): void => {
    const first = unchecked.shift()
    if (first === undefined) return
    isChecking = true
    const { stage, unit } = first
    moved += unit.writtenBytes
    start(unit.writtenBytes, unit.writtenBytes / hashBytesPerSecond, () => {
      isChecking = false
      left.set(stage, (left.get(stage) ?? 0) - 1)
      open()
      check()
    })
  }
  const give = (): void => {
    while (idle > 0 && next < waiting.length) {
      const { stage, unit } = waiting[next++] as (typeof waiting)[number]
      idle -= 1
      moved += unit.readBytes + unit.writtenBytes
      const cpu = unit.cpuSeconds / threads
      computing += cpu
      start(unit.readBytes, brokerSeconds + cpu, () =>
        start(unit.writtenBytes, unit.writtenBytes / hashBytesPerSecond, () => {
          idle += 1
          unchecked.push({ stage, unit })
          if (!isChecking) check()
        }),
      )
    }
  }
  open()
  give()
  while (doing.size > 0) {
    let movers = 0
    for (const one of doing) if (one.bytes > 0) movers += 1
    const rate = movers === 0 ? 0 : Math.min(linkBytesPerSecond, storageBytesPerSecond / movers)
    let step = Number.POSITIVE_INFINITY
    for (const { bytes, seconds } of doing) step = Math.min(step, bytes > 0 ? bytes / rate : seconds)
    now += step
    if (rate < linkBytesPerSecond && movers > 0) storageBusy += step
    if (isChecking) checking += step
    for (const one of doing) {
      if (one.bytes > 0) {
        one.bytes -= rate * step
        // What rounding leaves of a byte.
        if (one.bytes < 1) one.bytes = 0
        if (one.bytes > 0 || one.seconds > 0) continue
      } else {
        one.seconds -= step
        if (one.seconds > 1e-9) continue
      }
      doing.delete(one)
      one.done()
    }
    give()
  }
  return {
    workers,
    seconds: now,
    movedBytes: moved,
    computing: computing / (now * workers),
    storageBusy: storageBusy / now,
    checking: checking / now,
  }
}
