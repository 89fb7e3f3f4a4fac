import type { Covariance } from '../../formats/ggml/covariance.js'
import type { InputCovariances } from '../../src/engine/input-covariances.js'

/** Inputs made up for a test: of each name so many columns, correlated as far as `rank` directions say. */
export interface MadeUpInput {
  readonly columns: number
  /** `full`: the whole matrix. */
  readonly rank: number | 'full'
  readonly seed: number
}

/** A calibration of made-up inputs. @param inputOf names the input of a matrix. */
export function madeUpInputs(
  inputs: Readonly<Record<string, MadeUpInput>>,
  inputOf: InputCovariances['inputOf'],
  digest = 'made up',
): InputCovariances & {
  readonly matrices: ReadonlyMap<string, Float64Array>
  covariance(name: string): Promise<Covariance>
} {
  const rows = new Map(Object.entries(inputs).map(([name, input]) => [name, inputRows(input, 0)]))
  const heldOut = new Map(Object.entries(inputs).map(([name, input]) => [name, inputRows(input, 1)]))
  const matrices = new Map(
    Object.entries(inputs).map(([name, { columns }]) => [name, meanProducts(rows.get(name) as Float32Array, columns)]),
  )
  const covariance = async (name: string): Promise<Covariance> => {
    const { columns, rank } = inputs[name] as MadeUpInput
    const full = matrices.get(name) as Float64Array
    if (rank === 'full') return { full }
    const factors = directions(inputs[name] as MadeUpInput, rank)
    const diagonal = Float32Array.from({ length: columns }, (_, i) => {
      let rest = full[i * columns + i] as number
      for (let k = 0; k < rank; k++) rest -= (factors[k * columns + i] as number) ** 2
      return Math.max(rest, 1e-3)
    })
    return { diagonal, factors }
  }
  return {
    digest,
    matrices,
    importance: () => undefined,
    inputOf,
    rankOf: (name) => (inputs[name]?.rank === 'full' ? 'whole' : (inputs[name]?.rank ?? 0)),
    source: async (name) => ({ kind: 'known', covariance: await covariance(name) }),
    covariance,
    heldOut: async (name) => heldOut.get(name) as Float32Array,
  }
}

const strong = 8

function directions({ columns, seed }: MadeUpInput, rank: number): Float32Array {
  return Float32Array.from({ length: rank * columns }, (_, i) =>
    Math.floor(i / columns) < strong ? 1.5 * Math.sin(seed + 0.7 * i + 1e-4 * i * i) : 0,
  )
}

/** Sums of a few strong directions and noise. @param part inputs of unlike parts are unlike. */
function inputRows(input: MadeUpInput, part: number): Float32Array {
  const { columns } = input
  const count = 512
  const factors = directions(input, strong)
  const noise = (i: number): number => Math.sin(12.9898 * i + 78.233 * (part + 1) + 1e-3 * (i % 977) ** 2)
  const rows = new Float32Array(count * columns)
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < strong; k++) {
      const share = 1.4 * noise(row * strong + k + 0.5)
      for (let i = 0; i < columns; i++) {
        const at = row * columns + i
        rows[at] = (rows[at] as number) + share * (factors[k * columns + i] as number)
      }
    }
    for (let i = 0; i < columns; i++)
      rows[row * columns + i] = (rows[row * columns + i] as number) + 0.5 * noise(row * columns + i)
  }
  return rows
}

function meanProducts(rows: Float32Array, columns: number): Float64Array {
  const count = rows.length / columns
  const sums = new Float64Array(columns * columns)
  for (let row = 0; row < rows.length; row += columns) {
    for (let i = 0; i < columns; i++) {
      const share = (rows[row + i] as number) / count
      for (let j = i; j < columns; j++)
        sums[i * columns + j] = (sums[i * columns + j] as number) + share * (rows[row + j] as number)
    }
  }
  for (let i = 0; i < columns; i++) for (let j = 0; j < i; j++) sums[i * columns + j] = sums[j * columns + i] as number
  return sums
}
