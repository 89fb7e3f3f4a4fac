import { MqError } from '../../../errors/index.js'
import { add, type Recipe, takeColumns, transpose, unpack } from '../../../recipe/index.js'
import {
  affine,
  asQ40,
  checkGroups,
  hasOverrides,
  type Module,
  overColumns,
  requireShape,
  shapeError,
  storageOfModules,
} from './modules.js'
import type { StorageContext, StorageKind } from './types.js'

const parts = ['.qweight', '.qzeros', '.scales', '.g_idx'] as const

/**
 * GPTQ, 2, 3, 4 and 8 bits: qweight [in * bits / 32, out], qzeros [groups, out * bits / 32], scales [groups, out], g_idx [in].
 * weight = (scales[g_idx] * (q - zeros[g_idx])) transposed; zeros are stored one less in the first version of the format.
 * Symmetric 4-bit integers whose columns are in order (`sym`, not `desc_act`) have zeros of 8, and Q4_0 holds them as they are.
 * Source: dequantize_weight in gptqmodel/nn_modules/qlinear of github.com/ModelCloud/GPTQModel.
 */
export const gptq: StorageKind = {
  name: 'GPTQ',
  open(context) {
    const { stored, quantization } = context
    if (quantization?.['quant_method'] !== 'gptq' || !stored.names.some((name) => name.endsWith('.qweight'))) return undefined
    const format = quantization['checkpoint_format'] ?? 'gptq'
    if ((format !== 'gptq' && format !== 'gptq_v2') || quantization['is_marlin_format'] === true) {
      throw MqError.of('STORAGE_UNSUPPORTED', {
        file: context.configFile,
        storage: `GPTQ, ${quantization['is_marlin_format'] === true ? 'marlin' : JSON.stringify(format)}`,
        advice: 'Use the checkpoint in the format "gptq" or "gptq_v2", or the original one, before it was quantized',
      })
    }
    const modules = stored.names
      .filter((name) => name.endsWith('.qweight'))
      .map((name) => moduleOf(context, name, format === 'gptq'))
    const bases = new Set(modules.map(({ anchor }) => anchor.slice(0, -'.qweight'.length)))
    return storageOfModules(stored, modules, (name) =>
      parts.some((part) => name.endsWith(part) && bases.has(name.slice(0, -part.length))),
    )
  },
}

function moduleOf(context: StorageContext, anchor: string, zerosAreLess: boolean): Module {
  const { stored, quantization } = context
  const base = anchor.slice(0, -'.qweight'.length)
  const [words = 0, out = 0] = requireShape(stored, anchor)
  const scales = requireShape(stored, `${base}.scales`)
  const [groups = 0] = scales
  const indexShape = stored.get(`${base}.g_idx`)?.shape
  if (indexShape !== undefined && indexShape.length !== 1)
    throw shapeError(`${base}.g_idx`, indexShape, 'one group for each input')
  const index = indexShape?.[0]
  const stated = quantization?.['bits']
  const inputs = index ?? (typeof stated === 'number' ? (words * 32) / stated : 0)
  const bits = (words * 32) / inputs
  const isStated = typeof stated !== 'number' || stated === bits || hasOverrides(quantization)
  if (![2, 3, 4, 8].includes(bits) || !isStated)
    throw shapeError(
      anchor,
      [words, out],
      `${typeof stated === 'number' ? stated : '2, 3, 4 or 8'} bits for each of ${inputs} inputs`,
    )
  if (scales.length !== 2 || scales[1] !== out) throw shapeError(`${base}.scales`, scales, `[groups, ${out}]`)
  checkGroups(context, `${base}.scales`, groups, inputs)
  return {
    weight: `${base}.weight`,
    anchor,
    shape: [out, inputs],
    build() {
      const codes = unpack(stored.packed(anchor), {
        bits,
        along: 0,
        packed: [words, out],
        values: [inputs, out],
        transposed: true,
      })
      const [zeroRows = 0, zeroWords = 0] = requireShape(stored, `${base}.qzeros`)
      if (zeroRows !== groups || zeroWords !== Math.ceil((out * bits) / 32)) {
        throw shapeError(`${base}.qzeros`, [zeroRows, zeroWords], `[${groups}, ${Math.ceil((out * bits) / 32)}]`)
      }
      const zeros = unpack(stored.packed(`${base}.qzeros`), {
        bits,
        along: 1,
        packed: [groups, zeroWords * 4],
        values: [groups, out],
        transposed: true,
      })
      const spread = (values: Recipe, name: string): Recipe =>
        index === undefined ? overColumns(values, [out, inputs], name) : takeColumns(values, stored.as(`${base}.g_idx`, 'I32'))
      const found = zerosAreLess ? add(zeros, 1) : zeros
      const scales = transpose(stored.floats(`${base}.scales`))
      const values = affine(codes, spread(found, `${base}.qzeros`), spread(scales, `${base}.scales`))
      if (bits !== 4 || quantization?.['sym'] !== true || quantization['desc_act'] !== false) return values
      return asQ40({
        values,
        codes,
        scales,
        zeros: found,
        index: index === undefined ? undefined : stored.as(`${base}.g_idx`, 'I32'),
      })
    },
  }
}
