import { type CollectedCovariance, type CollectedInput, covarianceNames } from './covariance-form.js'

interface OutputTensor {
  readonly name: string
  readonly dimensions: readonly number[]
  readonly type: 'F32' | 'BF16'
  readonly data: Uint8Array
}

/** The tensors of a covariance, inputs in the order of their names; see covariance-form.ts. */
export function covarianceTensors({ inputs }: CollectedCovariance): OutputTensor[] {
  return [...inputs].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([key, sums]) => tensorsOf(key, sums))
}

function tensorsOf(key: string, { columns, tokens, whole, squares, sketch, kept, keptCounts }: CollectedInput): OutputTensor[] {
  const matrices = tokens.length
  const f32 = (suffix: string, dimensions: readonly number[], values: Float32Array | undefined): OutputTensor[] => {
    if (values === undefined || values.length === 0) return []
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    return [{ name: `${key}${suffix}`, dimensions, type: 'F32', data }]
  }
  const width = sketch === undefined ? 0 : sketch.length / columns / matrices
  const rows = kept.length / columns
  return [
    ...f32(covarianceNames.tokens, [1, matrices], Float32Array.from(tokens)),
    ...f32(covarianceNames.whole, [(columns * (columns + 1)) / 2, matrices], whole),
    ...f32(covarianceNames.squares, [columns, matrices], squares),
    ...f32(covarianceNames.sketch, [width, columns, matrices], sketch),
    ...(rows === 0
      ? []
      : [
          { name: `${key}${covarianceNames.kept}`, dimensions: [columns, rows], type: 'BF16' as const, data: toBfloats(kept) },
          ...f32(covarianceNames.keptCounts, [1, matrices], Float32Array.from(keptCounts)),
        ]),
  ]
}

/** bfloat16, nearest even. Its range is that of f32: a strong input of a real model would be infinite in F16. */
function toBfloats(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const halves = Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16)
  return new Uint8Array(halves.buffer)
}
