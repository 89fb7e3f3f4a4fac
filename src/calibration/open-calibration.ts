import { fileSource } from '../../formats/byte-source.js'
import { type CovarianceFile, type InputShape, readCovariance } from '../../formats/imatrix/index.js'
import type { CovarianceSource } from '../covariance/index.js'
import type { Importance } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { hashFile } from '../files/index.js'
import type { Blueprint, BlueprintTensor } from '../model/index.js'
import { rowLength } from '../recipe/index.js'
import { expansionOf, type PooledInputs, pooledSquares } from './covariance.js'
import { embeddingCovariances, embeddingKey, type KnownInput, tiedInputs } from './embedding-inputs.js'
import { embeddingReaders } from './embedding-readers.js'
import { otherWidths } from './other-widths.js'
import { checkedImportance, isWhole, readSquares, widthsNote } from './read-importance.js'
import { narrowedInputs, widenedInputs } from './widened-inputs.js'

/** An open calibration file: importance and covariances of the inputs of a model's weights. Close it after use. */
export interface Calibration {
  /** Mean squares of input columns as readImportance returns them, with those of experts shrunk; for other weights the covariance's diagonal. */
  readonly importance: Importance
  /** Things the user should know. */
  readonly notes: readonly string[]
  /** SHA-256 of the file, for a journal's identity and for caches. */
  readonly digest: string
  /**
   * Names the input of one matrix (expert or head, from 0) of a tensor; matrices of the same key see the same inputs.
   * undefined: only importance is known.
   */
  inputOf(tensor: string, matrix: number): string | undefined
  /** Rank of an input's covariance, besides the diagonal. */
  rankOf(key: string): number | 'whole'
  /**
   * The data that E[x x^T] of the inputs of that key is computed from, in full or as diagonal and low rank, by `covarianceFrom`.
   * @throws FormatError IMATRIX_INVALID, INPUT_TRUNCATED.
   */
  source(key: string): Promise<CovarianceSource>
  /** Held-out activation rows, row-major, from chunks that are not in the covariance; empty where the text had too few chunks. */
  heldOut(key: string): Promise<Float32Array>
  close(): Promise<void>
}

/**
 * Opens a calibration file of `mq imatrix`, or any other importance matrix, and checks it against a model.
 * @throws MqError IMPORTANCE_MISMATCH, CALIBRATION_MISMATCH where it is of another model, FILE_MISSING and the like; FormatError IMATRIX_INVALID, GGUF_INVALID,
 *   INPUT_TRUNCATED.
 */
export async function openCalibration(
  path: string,
  model: Pick<Blueprint, 'architecture' | 'tensors'> & Partial<Blueprint>,
): Promise<Calibration> {
  const squares = await readSquares(path)
  const other = isWhole(model) ? otherWidths(squares, model) : undefined
  if (other === undefined) return await openMeasured(path, model, squares)
  const calibration = await openMeasured(path, other.measured, squares)
  const placed = other.way === 'widened' ? widenedInputs(calibration, model) : narrowedInputs(calibration, other.measured)
  return { ...placed, notes: [...calibration.notes, widthsNote(path, other.way)] }
}

/** Opens a calibration of a model with the same widths. @param squares the result of readSquares for the same file. */
async function openMeasured(
  path: string,
  blueprint: Pick<Blueprint, 'architecture' | 'tensors'>,
  squares: ReadonlyMap<string, Float32Array>,
): Promise<Calibration> {
  const { importance, notes } = checkedImportance(path, squares, blueprint)
  const source = await fileSource(path)
  try {
    const file = await readCovariance(source)
    const { sha256: digest } = await hashFile(path)
    const embedding = embeddingCovariances(blueprint)
    if (file === undefined) {
      return {
        importance,
        notes: [...notes, `${path} has an importance matrix but no covariances: no error feedback.`],
        digest,
        inputOf: (tensor, matrix) => embedding?.inputOf(tensor, matrix),
        rankOf: (key) => (key === embeddingKey ? embedding?.rankOf(key) : undefined) ?? unknownKey(key),
        source: async (key) => (key === embeddingKey ? await embedding?.source(key) : undefined) ?? unknownKey(key),
        heldOut: async (key) => (key === embeddingKey ? await embedding?.heldOut(key) : undefined) ?? unknownKey(key),
        close: () => source.close(),
      }
    }
    const keys = matchInputs(file, blueprint.tensors, path)
    const pools = new Map<string, Promise<PooledInputs>>()
    const pooled = (name: string): Promise<PooledInputs> => {
      const found = pools.get(name) ?? pooledSquares(file, name)
      pools.set(name, found)
      return found
    }
    const sourceOf = async (key: string): Promise<CovarianceSource> => {
      const { name, matrix } = parseKey(file, key)
      return { kind: 'sums', place: file.place(name, matrix), expansion: await expansionOf(file, name, pooled) }
    }
    const rankOf = (key: string): number | 'whole' => {
      const { form, width } = parseKey(file, key).shape
      return form === 'whole' ? form : Math.min(file.rank, width)
    }
    const read = embeddingReaders(blueprint)
    const head = read?.isTied === true ? keys.get(read.embedding) : undefined
    const known = (key: string): KnownInput => ({ source: () => sourceOf(key), rank: rankOf(key) })
    const attention = read?.writer && keys.get(read.writer.name)
    const tied =
      read && head !== undefined
        ? tiedInputs(read, known(head), attention === undefined ? undefined : known(attention))
        : undefined
    const ofEmbedding = (key: string): typeof tied => (key === embeddingKey ? (tied ?? embedding) : undefined)
    // Both uses of a tied embedding have their importance in the sum of their covariances.
    if (tied !== undefined && read !== undefined) keys.delete(read.embedding)
    const diagonals = await diagonalsOf(file, keys, importance)
    return {
      importance: (tensor) =>
        tied !== undefined && tensor === read?.embedding ? undefined : (importance(tensor) ?? diagonals.get(tensor)),
      notes,
      digest,
      inputOf(tensor, matrix) {
        if (tied !== undefined && tensor === read?.embedding) return embeddingKey
        const name = keys.get(tensor)
        if (name === undefined) return embedding?.inputOf(tensor, matrix)
        const shape = file.inputs.get(name)
        if (shape === undefined) return undefined
        return shape.matrices === 1 ? name : `${name}#${matrix}`
      },
      rankOf: (key) => ofEmbedding(key)?.rankOf(key) ?? rankOf(key),
      source: async (key) => (await ofEmbedding(key)?.source(key)) ?? (await sourceOf(key)),
      async heldOut(key) {
        const known = ofEmbedding(key)
        if (known !== undefined) return await known.heldOut(key)
        const { name, matrix } = parseKey(file, key)
        return await file.kept(name, matrix)
      },
      close: () => source.close(),
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** Tensor of the model -> name of its input in the file. @throws MqError IMPORTANCE_MISMATCH */
function matchInputs(file: CovarianceFile, tensors: readonly BlueprintTensor[], path: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const tensor of tensors) {
    const name = file.inputOf.get(tensor.name) ?? file.inputOf.get(kinOf(tensor.name))
    const shape = name === undefined ? undefined : file.inputs.get(name)
    if (name === undefined || shape === undefined) continue
    if (!file.inputOf.has(tensor.name) && misfit(tensor, shape) !== undefined) continue
    const problem = misfit(tensor, shape)
    if (problem !== undefined) throw MqError.of('IMPORTANCE_MISMATCH', { tensor: tensor.name, problem: `${path} has ${problem}` })
    // of inputs that no feedback takes nothing is known but the importance
    if (shape.columns % 32 === 0) found.set(tensor.name, name)
  }
  return found
}

/**
 * The weight whose inputs are used for one that is not in the calibration: multi-head latent attention stores keys and values in one matrix,
 * `attn_kv_b`, or in two. `attn_v_b` then takes the same latent values, averaged by attention. Queries, which
 * `attn_k_b` takes, go through no weight where both are one.
 */
function kinOf(tensor: string): string {
  return tensor.replace(/attn_v_b\.weight$/, 'attn_kv_b.weight')
}

function misfit(tensor: BlueprintTensor, { columns, matrices }: InputShape): string | undefined {
  if (rowLength(tensor) !== columns) return `inputs of ${columns} columns where rows have ${rowLength(tensor)}`
  const stacked = tensor.shape.length > 2 ? (tensor.shape[0] as number) : 1
  if (matrices !== 1 && matrices !== stacked) return `inputs of ${matrices} matrices where there are ${stacked}`
  return undefined
}

/** Mean squares of weights that are not in the importance matrix, such as output.weight. */
async function diagonalsOf(
  file: CovarianceFile,
  keys: ReadonlyMap<string, string>,
  importance: Importance,
): Promise<ReadonlyMap<string, Float32Array>> {
  const found = new Map<string, Float32Array>()
  for (const [tensor, name] of keys) {
    if (importance(tensor) !== undefined || file.inputs.get(name)?.matrices !== 1) continue
    const { means, tokens } = await pooledSquares(file, name)
    if (tokens > 0) found.set(tensor, Float32Array.from(means))
  }
  return found
}

function parseKey(file: CovarianceFile, key: string): { name: string; matrix: number; shape: InputShape } {
  const [name = '', matrix = '0'] = key.split('#')
  const shape = file.inputs.get(name)
  if (shape === undefined || !(Number(matrix) < shape.matrices)) return unknownKey(key)
  return { name, matrix: Number(matrix), shape }
}

function unknownKey(key: string): never {
  throw new RangeError(`the calibration has no input ${key}`)
}
