import { type Column, formatBytes, formatSeconds, formatTable } from '../../terminal/index.js'
import type { DryRun } from './dry-run.js'

const columns: readonly Column[] = [
  { title: 'memory to run' },
  { title: 'weights', align: 'right' },
  { title: 'KV cache', align: 'right' },
  { title: 'compute', align: 'right' },
  { title: 'in all', align: 'right' },
]

/** What a dry run says besides its plan, as lines for the screen. */
export function dryRunText({ fileBytes, run, memory, placement, duration }: DryRun, vram?: string): string {
  const rows = memory.map(({ name, weightsBytes, kvCacheBytes, computeBytes, outputBytes, totalBytes }) => [
    name,
    formatBytes(weightsBytes),
    formatBytes(kvCacheBytes),
    formatBytes(computeBytes + outputBytes),
    formatBytes(totalBytes),
  ])
  const { low, high, threads } = duration
  const time = `${formatSeconds(low)} to ${formatSeconds(high)}, with ${threads === 1 ? 'a thread' : `${threads} threads`}`
  const cache = `a ${(run.cacheType ?? 'F16').toLowerCase()} cache of ${run.context} tokens`
  return [
    ...(rows.length === 0 ? ['What it takes to run cannot be worked out from its metadata.'] : [formatTable(columns, rows), '']),
    `File: ${formatBytes(fileBytes)} (${fileBytes} bytes). To run: with ${cache} and flash attention. To make: ${time}.`,
    ...(vram === undefined || rows.length === 0 ? [] : [`GPU of ${vram}: ${placementText(placement)}`]),
  ].join('\n')
}

function placementText(placement: DryRun['placement']): string {
  if (placement === undefined) return 'not even one layer fits; run it on the processor, with -ngl 0.'
  const { flags, override, gpuBytes, cpuBytes, cpuExpertLayers } = placement
  const experts = cpuExpertLayers === 0 ? '' : ', room to copy the experts of a layer included'
  const other = override === undefined ? '' : `\n  by name: ${override}`
  return `${flags}: ${formatBytes(gpuBytes)} there${experts}; ${formatBytes(cpuBytes)} in the machine's own memory.${other}`
}
