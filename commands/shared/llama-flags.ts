import { Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import type { KvType, LoadOptions } from '../../src/runner/index.js'

const kvTypes = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'iq4_nl', 'q5_0', 'q5_1'] as const satisfies readonly KvType[]
const onOff = ['auto', 'on', 'off'] as const

/** Flags of where a model's parts lie and how llama.cpp runs them, named as in llama.cpp. */
export const llamaFlags = {
  threads: Flags.integer({ char: 't', min: 1, max: 512, helpValue: 'N', description: 'Threads. [default: one for each core]' }),
  'gpu-layers': Flags.string({
    helpValue: 'N|auto|all',
    description:
      'Layers on the GPU (-ngl), the output counting as one. [default: auto, which fits layers and experts to the free memory of the GPU]',
  }),
  'cpu-moe': Flags.boolean({ description: 'Keep the routed experts of all layers on the processor.', exclusive: ['n-cpu-moe'] }),
  'n-cpu-moe': Flags.integer({
    min: 0,
    max: 10_000,
    helpValue: 'N',
    description: 'Keep the routed experts of the first N layers on the processor. [default: as --gpu-layers auto finds]',
  }),
  'flash-attn': Flags.option({
    options: onOff,
    default: 'auto',
    helpValue: 'on|off|auto',
    description: 'Flash attention (-fa).',
  })(),
  'cache-type-k': Flags.option({
    options: kvTypes,
    default: 'f16',
    helpValue: 'TYPE',
    description: `Type of keys in the KV cache (-ctk): ${kvTypes.join(', ')}.`,
  })(),
  'cache-type-v': Flags.option({
    options: kvTypes,
    default: 'f16',
    helpValue: 'TYPE',
    description: `Type of values in the KV cache (-ctv), as for keys; quantized types need flash attention.`,
  })(),
  mmap: Flags.boolean({ allowNo: true, default: true, description: 'Memory-map the file instead of reading it. [default: on]' }),
}

interface Given {
  readonly threads?: number | undefined
  readonly 'gpu-layers'?: string | undefined
  readonly 'cpu-moe': boolean
  readonly 'n-cpu-moe'?: number | undefined
  readonly 'flash-attn': 'auto' | 'on' | 'off'
  readonly 'cache-type-k': KvType
  readonly 'cache-type-v': KvType
  readonly mmap: boolean
}

/** What the flags say; layers and experts are absent where they are to be fitted. @throws MqError FLAG_INVALID */
export function llamaOptionsOf(flags: Given, command: string): LoadOptions {
  return {
    threads: flags.threads,
    gpuLayers: gpuLayersOf(flags['gpu-layers'], command),
    // more than any model has
    cpuExpertLayers: flags['cpu-moe'] ? 1000 : flags['n-cpu-moe'],
    flashAttention: flags['flash-attn'],
    keyType: flags['cache-type-k'],
    valueType: flags['cache-type-v'],
    mmap: flags.mmap,
  }
}

function gpuLayersOf(value: string | undefined, command: string): number | undefined {
  if (value === undefined || value === 'auto') return undefined
  if (value === 'all') return -1
  if (/^\d{1,5}$/.test(value)) return Number(value)
  throw MqError.of('FLAG_INVALID', { flag: 'gpu-layers', value, problem: 'it is not a number, auto or all', command })
}
