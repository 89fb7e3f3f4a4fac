import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import type { GgmlTypeName } from '../ggml/types.js'
import { type GgufTensorInfo, readGguf } from '../gguf/index.js'
import { quote } from '../quote.js'
import { covarianceKeys, covarianceNames, covarianceVersion } from './covariance-form.js'

/** How a file stores one input covariance; see covariance-form.ts. */
export interface InputShape {
  readonly columns: number
  /** Matrices that have inputs of their own: experts or heads. */
  readonly matrices: number
  readonly form: 'whole' | 'sketch' | 'diagonal'
  /** Columns of the sketch; 0 without. */
  readonly width: number
  /** Rows that each matrix's sums are of. */
  readonly tokens: readonly number[]
  /** Held-out rows of each matrix. */
  readonly keptCounts: readonly number[]
}

/** Where the sums over the inputs of one matrix are, in bytes of the file; the lengths are those of values of f32. */
export interface SumsPlace {
  /** The file's path. */
  readonly file: string
  readonly tokens: number
  readonly whole?: ValuesPlace
  readonly squares?: ValuesPlace
  readonly sketch?: ValuesPlace
}

interface ValuesPlace {
  /** Of the tensor that they are of. */
  readonly name: string
  readonly start: number
  readonly count: number
}

/** Sums over the inputs of one matrix. */
export interface MatrixSums {
  readonly tokens: number
  /** Upper triangle, row by row. */
  readonly whole?: Float32Array
  readonly squares?: Float32Array
  readonly sketch?: Float32Array
}

/** The covariance part of a file that is open. Sums are read when they are asked for. */
export interface CovarianceFile {
  readonly seed: number
  /** Rank to keep of sketches. */
  readonly rank: number
  /** Weight -> name of its input. */
  readonly inputOf: ReadonlyMap<string, string>
  readonly inputs: ReadonlyMap<string, InputShape>
  /** Where sums are, for `readSums`. */
  place(key: string, matrix: number): SumsPlace
  /** What the sums' diagonal is in, alone. @throws as `sums`. */
  squares(key: string, matrix: number): Promise<Pick<MatrixSums, 'whole' | 'squares'>>
  /** @throws FormatError IMATRIX_INVALID where sums are not finite; INPUT_TRUNCATED. */
  sums(key: string, matrix: number): Promise<MatrixSums>
  /** Held-out rows of one matrix, row-major. */
  kept(key: string, matrix: number): Promise<Float32Array>
}

/**
 * Reads the covariances of a file. @returns undefined if it has none, as files of llama-imatrix.
 * @throws FormatError IMATRIX_INVALID, GGUF_INVALID, INPUT_TRUNCATED.
 */
export async function readCovariance(source: ByteSource): Promise<CovarianceFile | undefined> {
  const magic = await source.slice(0, Math.min(4, source.byteLength))
  if (new TextDecoder().decode(magic) !== 'GGUF') return undefined
  const { metadata, tensors, dataOffset } = await readGguf(source)
  const version = metadata.get(covarianceKeys.version)
  if (version === undefined) return undefined
  const fail = (problem: string): FormatError => new FormatError('IMATRIX_INVALID', { file: source.name, problem })
  if (version.value !== covarianceVersion)
    throw fail(`the version of its covariances is ${quote(version.value)}; version 1 is supported`)
  const number = (key: string): number => {
    const found = metadata.get(key)
    if (found?.type !== 'uint32') throw fail(`it lacks ${key}`)
    return found.value
  }
  const strings = (key: string): string[] => {
    const found = metadata.get(key)
    if (found?.type !== 'array' || found.elementType !== 'string') throw fail(`it lacks ${key}`)
    return found.value.map(String)
  }
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))

  const find = (name: string, type: 'F32' | 'BF16', dimensions: readonly number[]): GgufTensorInfo | undefined => {
    const tensor = byName.get(name)
    if (tensor === undefined) return undefined
    // trailing dimensions of 1 may be left out
    const same = Array.from({ length: 4 }, (_, i) => (tensor.dimensions[i] ?? 1) === (dimensions[i] ?? 1)).every(Boolean)
    if (tensor.type !== type || !same) throw fail(`${quote(name)} is ${tensor.type} [${tensor.dimensions.join(', ')}]`)
    return tensor
  }
  const read = async ({ name, type, offset }: GgufTensorInfo, first: number, count: number): Promise<Float32Array> => {
    const start = dataOffset + offset + (type === 'BF16' ? 2 : 4) * first
    return await readValues(source, { name, start, count }, type)
  }
  const counts = async (name: string, matrices: number): Promise<number[]> => {
    const tensor = find(name, 'F32', [1, matrices])
    const values = tensor === undefined ? [] : [...(await read(tensor, 0, matrices))]
    if (!values.every((value) => value >= 0 && Number.isInteger(value)))
      throw fail(`${quote(name)} has values that are no counts`)
    return values
  }

  const describe = async (key: string): Promise<InputShape> => {
    const own = byName.get(`${key}${covarianceNames.tokens}`)
    if (own === undefined) throw fail(`${quote(key)} has no ${covarianceNames.tokens}`)
    const matrices = own.dimensions[1] ?? 1
    const tokens = await counts(own.name, matrices)
    const squares = byName.get(`${key}${covarianceNames.squares}`)
    const whole = byName.get(`${key}${covarianceNames.whole}`)
    const columns = squares?.dimensions[0] ?? Math.round((Math.sqrt(8 * (whole?.dimensions[0] ?? 0) + 1) - 1) / 2)
    if (columns === 0) throw fail(`${quote(key)} has no sums`)
    const width = byName.get(`${key}${covarianceNames.sketch}`)?.dimensions[0] ?? 0
    if (squares === undefined) find(`${key}${covarianceNames.whole}`, 'F32', [(columns * (columns + 1)) / 2, matrices])
    else find(squares.name, 'F32', [columns, matrices])
    find(`${key}${covarianceNames.sketch}`, 'F32', [width, columns, matrices])
    const keptCounts = await counts(`${key}${covarianceNames.keptCounts}`, matrices)
    const rows = keptCounts.reduce((sum, count) => sum + count, 0)
    find(`${key}${covarianceNames.kept}`, 'BF16', [columns, rows])
    const form = squares === undefined ? 'whole' : width === 0 ? 'diagonal' : 'sketch'
    return { columns, matrices, form, width, tokens, keptCounts: rows === 0 ? tokens.map(() => 0) : keptCounts }
  }

  const [weights, keys] = [strings(covarianceKeys.weights), strings(covarianceKeys.inputs)]
  if (weights.length !== keys.length) throw fail(`${covarianceKeys.weights} and ${covarianceKeys.inputs} differ in length`)
  const inputs = new Map<string, InputShape>()
  for (const key of new Set(keys)) inputs.set(key, await describe(key))
  const shapeOf = (key: string): InputShape => {
    const found = inputs.get(key)
    if (found === undefined) throw new RangeError(`no input ${key}`)
    return found
  }

  const place = (key: string, matrix: number): SumsPlace => {
    const { columns, width, tokens } = shapeOf(key)
    const part = (suffix: string, count: number): ValuesPlace | undefined => {
      const tensor = byName.get(`${key}${suffix}`)
      return tensor && { name: tensor.name, start: dataOffset + tensor.offset + 4 * matrix * count, count }
    }
    const [whole, squares, sketch] = [
      part(covarianceNames.whole, (columns * (columns + 1)) / 2),
      part(covarianceNames.squares, columns),
      part(covarianceNames.sketch, columns * width),
    ]
    const given = { whole, squares, sketch }
    return { file: source.name, tokens: tokens[matrix] as number, ...given }
  }

  return {
    seed: number(covarianceKeys.seed),
    rank: number(covarianceKeys.rank),
    inputOf: new Map(weights.map((weight, index) => [weight, keys[index] as string])),
    inputs,
    place,
    sums: (key, matrix) => readSums(source, place(key, matrix)),
    squares(key, matrix) {
      const { sketch: _, ...rest } = place(key, matrix)
      return readSums(source, rest)
    },
    async kept(key, matrix) {
      const { columns, keptCounts } = shapeOf(key)
      const tensor = byName.get(`${key}${covarianceNames.kept}`)
      if (tensor === undefined) return new Float32Array()
      const before = keptCounts.slice(0, matrix).reduce((sum, count) => sum + count, 0)
      return await read(tensor, before * columns, (keptCounts[matrix] as number) * columns)
    },
  }
}

/**
 * Reads sums from where they are.
 * @throws FormatError IMATRIX_INVALID where they are not finite; INPUT_TRUNCATED.
 */
export async function readSums(source: ByteSource, { tokens, whole, squares, sketch }: SumsPlace): Promise<MatrixSums> {
  return {
    tokens,
    whole: whole === undefined ? undefined : await readValues(source, whole, 'F32'),
    squares: squares === undefined ? undefined : await readValues(source, squares, 'F32'),
    sketch: sketch === undefined ? undefined : await readValues(source, sketch, 'F32'),
  }
}

async function readValues(source: ByteSource, { name, start, count }: ValuesPlace, type: GgmlTypeName): Promise<Float32Array> {
  const size = type === 'BF16' ? 2 : 4
  const bytes = await source.slice(start, start + size * count)
  const own = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  const values =
    type === 'BF16'
      ? fromBfloats(new Uint16Array(own.buffer, own.byteOffset, count))
      : new Float32Array(own.buffer, own.byteOffset, count)
  if (!values.every(Number.isFinite))
    throw new FormatError('IMATRIX_INVALID', { file: source.name, problem: `${quote(name)} has values that are not finite` })
  return values
}

function fromBfloats(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer)
}
