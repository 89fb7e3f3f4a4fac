import { gpuPackages } from '../runner/index.js'
import { formatBytes } from '../terminal/index.js'
import type { Examination, ExaminedBuild } from './examine.js'
import { speedEstimateText } from './speed-estimate.js'

/** The examination, a line for each thing. */
export function examinationText(found: Examination): string {
  const { system, node, processor, memory, disk, builds, missing, installable, nvidia, external, speedEstimate } = found
  const lines: [string, string][] = [
    ['system', `${system}, Node ${node}`],
    [
      'processor',
      `${processor.model}, ${processor.threads} threads${processor.features.length === 0 ? '' : `: ${processor.features.join(' ')}`}`,
    ],
    [
      'memory',
      `${formatBytes(memory.totalBytes)}, ${formatBytes(memory.availableBytes)} available${memory.limitBytes === undefined ? '' : `, limited to ${formatBytes(memory.limitBytes)}`}`,
    ],
    ...(disk === undefined
      ? []
      : [
          [
            'disk',
            `${formatBytes(disk.bytesPerSecond)}/s${disk.isDirect ? '' : ' (perhaps from the cache)'}, ${formatBytes(disk.freeBytes)} free`,
          ] as [string, string],
        ]),
    ...(nvidia === undefined ? [] : [['GPU', `${nvidia} (nvidia-smi)`] as [string, string]]),
    ...builds.flatMap(({ name, version, architectures, devices, problem }): [string, string][] => [
      ['llama.cpp', `${version}, ${architectures} architectures (${name})${problem === undefined ? '' : `: ${problem}`}`],
      ...devices.map(({ name: device, description, kind, freeBytes, totalBytes }): [string, string] => [
        '',
        `${device}: ${description}, ${kind}, ${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free`,
      ]),
      ...(findsNoGpu({ name, devices, problem })
        ? [
            ['', 'a build for GPUs, but it finds none: docs/serving.md, Hardware, says what its driver may need'] as [
              string,
              string,
            ],
          ]
        : []),
    ]),
    ...(missing === undefined ? [] : [['llama.cpp', missing] as [string, string]]),
    ...(external === undefined
      ? []
      : [
          [
            'llama-server',
            `${external.version}${external.architectures === undefined ? '' : `, ${external.architectures} architectures`} (${external.path})`,
          ] as [string, string],
        ]),
    ...(builds.some(({ devices }) => devices.some(({ kind }) => kind === 'gpu'))
      ? []
      : installable.map((command): [string, string] => ['for a GPU', command])),
    ...(speedEstimate === undefined ? [] : [['model', speedEstimateText(speedEstimate)] as [string, string]]),
  ]
  return lines.map(([title, text]) => `${title.padEnd(13)} ${text}`).join('\n')
}

function findsNoGpu({ name, devices, problem }: Pick<ExaminedBuild, 'name' | 'devices' | 'problem'>): boolean {
  return (
    gpuPackages.includes(name) && problem === undefined && !devices.some(({ kind }) => kind === 'gpu' || kind === 'integrated')
  )
}
