import { MqError } from '../../../errors/index.js'
import { transpose, unpack } from '../../../recipe/index.js'
import { affine, checkGroups, type Module, overColumns, requireShape, shapeError, storageOfModules } from './modules.js'
import type { StorageContext, StorageKind } from './types.js'

const parts = ['.qweight', '.qzeros', '.scales'] as const
const bits = 4
/** Where each of eight neighbouring columns stands in a word. */
const order = [0, 4, 1, 5, 2, 6, 3, 7]

/**
 * AWQ, 4 bits, as its matrix-matrix kernels want it: qweight [in, out / 8], qzeros [groups, out / 8], scales [groups, out].
 * weight = ((q - zeros) * scales) transposed. Source: awq/utils/packing_utils.py of github.com/casper-hansen/AutoAWQ.
 */
export const awq: StorageKind = {
  name: 'AWQ',
  open(context) {
    const { stored, quantization, configFile } = context
    if (quantization?.['quant_method'] !== 'awq' || !stored.names.some((name) => name.endsWith('.qweight'))) return undefined
    const stated = quantization['version'] ?? 'gemm'
    const version = typeof stated === 'string' ? stated.toLowerCase() : JSON.stringify(stated)
    if (version !== 'gemm' || (quantization['bits'] ?? bits) !== bits) {
      throw MqError.of('STORAGE_UNSUPPORTED', {
        file: configFile,
        storage: `AWQ, ${version}, ${JSON.stringify(quantization['bits'])} bits`,
        advice: 'Use the checkpoint in the version "gemm" of 4 bits, or the original one, before it was quantized',
      })
    }
    const modules = stored.names.filter((name) => name.endsWith('.qweight')).map((name) => moduleOf(context, name))
    const bases = new Set(modules.map(({ anchor }) => anchor.slice(0, -'.qweight'.length)))
    return storageOfModules(stored, modules, (name) =>
      parts.some((part) => name.endsWith(part) && bases.has(name.slice(0, -part.length))),
    )
  },
}

function moduleOf(context: StorageContext, anchor: string): Module {
  const { stored } = context
  const base = anchor.slice(0, -'.qweight'.length)
  const [inputs = 0, words = 0] = requireShape(stored, anchor)
  const out = (words * 32) / bits
  const [groups = 0, columns = 0] = requireShape(stored, `${base}.scales`)
  if (columns !== out) throw shapeError(`${base}.scales`, [groups, columns], `[groups, ${out}]`)
  checkGroups(context, `${base}.scales`, groups, inputs)
  return {
    weight: `${base}.weight`,
    anchor,
    shape: [out, inputs],
    build() {
      const zeros = requireShape(stored, `${base}.qzeros`)
      if (zeros[0] !== groups || zeros[1] !== words) throw shapeError(`${base}.qzeros`, zeros, `[${groups}, ${words}]`)
      const codes = (name: string, rows: number) =>
        unpack(stored.packed(name), { bits, along: 1, packed: [rows, words * 4], values: [rows, out], order, transposed: true })
      const shape = [out, inputs]
      return affine(
        codes(anchor, inputs),
        overColumns(codes(`${base}.qzeros`, groups), shape, `${base}.qzeros`),
        overColumns(transpose(stored.floats(`${base}.scales`)), shape, `${base}.scales`),
      )
    },
  }
}
