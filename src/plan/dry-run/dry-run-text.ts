import { type Column, formatBytes, formatSeconds, formatTable } from '../../terminal/index.js'
import type { DryRun } from './dry-run.js'

const columns: readonly Column[] = [
  { title: 'memory to run' },
  { title: 'weights', align: 'right' },
  { title: 'KV cache', align: 'right' },
  { title: 'compute', align: 'right' },
  { title: 'total', align: 'right' },
]

/** File size, memory, GPU placement and time of a dry run, as lines for the screen. */
export function dryRunText({ fileBytes, run, memory, placement, duration }: DryRun, vram?: string): string {
  const rows = memory.map(({ name, weightsBytes, kvCacheBytes, computeBytes, outputBytes, totalBytes }) => [
    name,
    formatBytes(weightsBytes),
    formatBytes(kvCacheBytes),
    formatBytes(computeBytes + outputBytes),
    formatBytes(totalBytes),
  ])
  const { low, high, threads } = duration
  const time = `${formatSeconds(low)} to ${formatSeconds(high)} with ${threads === 1 ? '1 thread' : `${threads} threads`}`
  const cache = `context length ${run.context}, ${(run.cacheType ?? 'F16').toLowerCase()} KV cache, flash attention`
  return [
    ...(rows.length === 0
      ? ['The memory to run this model cannot be computed from its metadata.']
      : [formatTable(columns, rows), '']),
    `File: ${formatBytes(fileBytes)} (${fileBytes} bytes). Memory to run: ${cache}. Time to quantize: ${time}.`,
    ...(vram === undefined || rows.length === 0 ? [] : [`GPU of ${vram}: ${placementText(placement)}`]),
  ].join('\n')
}

function placementText(placement: DryRun['placement']): string {
  if (placement === undefined) return 'no layer fits; run it on the CPU, with -ngl 0.'
  const { flags, override, gpuBytes, cpuBytes, cpuExpertLayers } = placement
  const experts = cpuExpertLayers === 0 ? '' : ', with a buffer to copy the experts of one layer'
  const other = override === undefined ? '' : `\n  by tensor name: ${override}`
  return `${flags}: ${formatBytes(gpuBytes)} on the GPU${experts}; ${formatBytes(cpuBytes)} in main memory.${other}`
}
