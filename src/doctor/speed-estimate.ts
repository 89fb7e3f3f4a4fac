import { openGguf } from '../../formats/gguf/index.js'
import { formatBytes } from '../terminal/index.js'

/** What speed a model can have at most on this machine, by what each token reads. */
export interface SpeedEstimate {
  readonly fileBytes: number
  /** Weights that one token reads: of routed experts those that are used. */
  readonly activeBytes: number
  readonly memoryBytes: number
  /** Of the active bytes, what is read from the disk for each token: as much of them as of the file does not fit into memory. */
  readonly diskBytes: number
  /** Most tokens per second by the disk's speed; absent where all fits, or the speed is not known. */
  readonly mostTokensPerSecond?: number
}

/**
 * How fast a GGUF file can run from the disk, where it is larger than memory: tokens per second <= disk speed / bytes read for each.
 * Experts that are used often stay in memory, so it may do better than this; other work that takes memory makes it worse.
 * @throws MqError as openGguf.
 */
export async function speedEstimateOf(path: string, memoryBytes: number): Promise<SpeedEstimate> {
  const file = await openGguf(path)
  await file.close()
  const named = file.metadata.get('general.architecture')
  const architecture = named?.type === 'string' ? named.value : ''
  const number = (key: string): number => Number(file.metadata.get(`${architecture}.${key}`)?.value ?? 0)
  const [count, used] = [number('expert_count'), number('expert_used_count')]
  let [fileBytes, activeBytes] = [0, 0]
  for (const { name, start, end } of file.tensors) {
    fileBytes += end - start
    // One row of the embedding is read, unless it is the output as well.
    if (name === 'token_embd.weight' && file.tensors.some((tensor) => tensor.name === 'output.weight')) continue
    activeBytes += name.includes('_exps.') && count > 0 ? ((end - start) * used) / count : end - start
  }
  const missing = Math.max(0, 1 - memoryBytes / fileBytes)
  return { fileBytes, activeBytes, memoryBytes, diskBytes: missing * activeBytes }
}

/** The same with the most tokens per second, where the disk is read for each and its speed is known. */
export function atDiskSpeed(speedEstimate: SpeedEstimate, diskBytesPerSecond: number | undefined): SpeedEstimate {
  if (speedEstimate.diskBytes === 0 || diskBytesPerSecond === undefined) return speedEstimate
  return { ...speedEstimate, mostTokensPerSecond: diskBytesPerSecond / speedEstimate.diskBytes }
}

/** In a sentence. */
export function speedEstimateText({
  fileBytes,
  activeBytes,
  memoryBytes,
  diskBytes,
  mostTokensPerSecond,
}: SpeedEstimate): string {
  const active = `each token reads ${formatBytes(activeBytes)} of ${formatBytes(fileBytes)}`
  if (diskBytes === 0) return `${active}, which fit into ${formatBytes(memoryBytes)} of memory`
  const most =
    mostTokensPerSecond === undefined
      ? ''
      : `: at most about ${mostTokensPerSecond < 10 ? mostTokensPerSecond.toPrecision(2) : mostTokensPerSecond.toFixed(0)} tokens/s by the disk`
  return `${active}, of which ${formatBytes(diskBytes)} come from the disk, as memory has ${formatBytes(memoryBytes)}${most}`
}
