import { MqError } from '../../../errors/index.js'
import { describeQuantization, originalAdvice } from './describe.js'
import type { StorageContext, StorageKind } from './types.js'

/** A storage that is recognised and cannot be read. */
interface Unsupported {
  /** What to call it in messages. */
  readonly name: string
  /** Whether it is this one. */
  readonly is: (context: StorageContext) => boolean
  /** What to do about it, where an original checkpoint may not exist. */
  readonly advice?: string
}

const endsWith = ({ stored }: StorageContext, ...suffixes: readonly string[]): boolean =>
  suffixes.every((suffix) => stored.names.some((name) => name.endsWith(suffix)))
const method = ({ quantization }: StorageContext): unknown => quantization?.['quant_method']

/** Recognised by tensors that only this storage has, since config.json may not tell; the more particular stands first. */
const table: readonly Unsupported[] = [
  {
    name: 'MLX',
    is: (context) =>
      endsWith(context, '.scales') && context.stored.names.some((name) => context.stored.get(name)?.dtype === 'U32'),
    advice: 'Dequantize it with `mlx_lm.fuse --dequantize` (or `mlx_lm.convert -d`), or use the checkpoint that it was made from',
  },
  { name: 'GPTQ', is: (context) => endsWith(context, '.qweight') && (method(context) === 'gptq' || endsWith(context, '.g_idx')) },
  { name: 'AWQ', is: (context) => endsWith(context, '.qweight', '.qzeros') },
  {
    name: 'bitsandbytes',
    is: (context) => endsWith(context, '.absmax') || endsWith(context, '.SCB'),
    advice:
      'Use the original checkpoint, or dequantize this one: load it with transformers, call model.dequantize(), then save_pretrained()',
  },
  { name: 'compressed-tensors', is: (context) => method(context) === 'compressed-tensors' && hasPacked(context) },
  { name: 'ModelOpt', is: (context) => method(context) === 'modelopt' && hasPacked(context) },
  { name: 'NVFP4', is: (context) => endsWith(context, '_scale_2') },
  { name: 'MXFP4', is: (context) => endsWith(context, '_blocks', '_scales') },
  { name: 'HQQ', is: (context) => endsWith(context, '.W_q') },
  { name: 'AQLM', is: (context) => endsWith(context, '.codebooks', '.codes') },
  { name: 'EXL2', is: (context) => endsWith(context, '.q_weight', '.q_scale') },
  { name: 'EXL3', is: (context) => endsWith(context, '.trellis') },
  { name: 'QuIP#', is: (context) => endsWith(context, '.Qidxs') },
  { name: 'VPTQ', is: (context) => endsWith(context, '.centroids', '.indices') },
  { name: 'torchao', is: (context) => method(context) === 'torchao' && !allTrained(context) },
  { name: 'Quanto', is: (context) => endsWith(context, '._data', '._scale') },
]

/** Whether every matrix is of a type that training uses. */
function allTrained({ stored }: StorageContext): boolean {
  return stored.names.every((name) => {
    const tensor = stored.get(name)
    return (tensor?.shape.length ?? 0) < 2 || /^(?:F64|F32|F16|BF16)$/.test(tensor?.dtype ?? '')
  })
}

/** Whether a type is one that weights have only together with scales. */
function isSmall(dtype: string | undefined): boolean {
  return dtype !== undefined && /^(?:F8_|F4|F6|[IU]8|[IU]32)/.test(dtype)
}

function hasPacked(context: StorageContext): boolean {
  return ['.weight_packed', '.weight_scale', '_scale'].some((suffix) => endsWith(context, suffix))
}

/** Every storage that is known by name and refused before any work. */
export const unsupported: StorageKind = {
  name: 'unsupported',
  open(context) {
    const { quantization, stored, config } = context
    const found = table.find(({ is }) => is(context))
    if (found !== undefined) {
      const section = quantization ?? (config['quantization'] as Readonly<Record<string, unknown>> | undefined)
      const bits = section?.['bits']
      throw MqError.of('STORAGE_UNSUPPORTED', {
        file: stored.path,
        storage: typeof bits === 'number' ? `${found.name}, ${bits} bits` : found.name,
        advice: found.advice ?? 'Use the original checkpoint, before it was quantized',
      })
    }
    // FP8 weights, or others, with scales that nothing says how to use.
    const scale = stored.names.find(
      (name) => /_(?:scale_inv|scale)$/.test(name) && isSmall(stored.get(name.replace(/_(?:scale_inv|scale)$/, ''))?.dtype),
    )
    if (quantization === undefined && scale !== undefined) {
      throw MqError.of('STORAGE_UNSUPPORTED', {
        file: stored.path,
        storage: `a quantization that config.json does not describe (tensor ${scale})`,
        advice: "Add the quantization_config of the model's own config.json, or use the original checkpoint",
      })
    }
    refuseForeignScales(context)
    return undefined
  },
}

/** DeepSeek's own inference code writes `.scale`, ComfyUI `.scale_weight`, others `.scales`, `.weight.scale` and the like. */
const foreignScale = /^(.*?)\.(?:scale|scale_inv|scales|weight_scales|scale_weight|weight\.scales?|weight_scaler)$/

/**
 * Refuses codes whose scales have a name that neither transformers nor vLLM gives them, as in DeepSeek's own inference code: it is not said
 * how they are to be used.
 * @throws MqError STORAGE_UNSUPPORTED.
 */
export function refuseForeignScales({ stored, quantization }: StorageContext): void {
  const foreign = stored.names.find((name) => {
    const module = foreignScale.exec(name)?.[1]
    return module !== undefined && isSmall(stored.get(`${module}.weight`)?.dtype)
  })
  if (foreign !== undefined) {
    throw MqError.of('STORAGE_UNSUPPORTED', {
      file: stored.path,
      storage: `${quantization === undefined ? '' : `${describeQuantization(quantization)}, `}${stored.get(foreign.replace(foreignScale, '$1.weight'))?.dtype} with scales of an unknown kind (tensor ${foreign})`,
      advice:
        'Use the checkpoint in the form that transformers reads, with the scales beside each weight as weight_scale_inv or weight_scale, or the original one',
    })
  }
}

/** What is left where no kind has taken a checkpoint. */
export function unknownStorage({ configFile, quantization }: StorageContext): MqError {
  return MqError.of('STORAGE_UNSUPPORTED', {
    file: configFile,
    storage: `${describeQuantization(quantization)}${hasReader(quantization) ? ', and has none of its tensors' : ''}`,
    advice: originalAdvice,
  })
}

/** Whether the storage that is named could be read. */
function hasReader(quantization: StorageContext['quantization']): boolean {
  const method: unknown = quantization?.['quant_method']
  return typeof method === 'string' && ['gptq', 'awq', 'bitsandbytes', 'compressed-tensors', 'modelopt', 'mxfp4'].includes(method)
}
