import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import type { BlueprintTensor } from '../../model/index.js'
import { isFloatType } from './candidates.js'
import type { Choice } from './greedy.js'

/** A type that a tensor, or several tied together, may get. */
export interface Option extends Choice {
  readonly type: GgmlTypeName
}

interface Subject {
  readonly tensor: BlueprintTensor
  /** Tensors tied to it, itself among them. */
  readonly tensors: readonly BlueprintTensor[]
  /** What the tensor does in the model. */
  readonly why: string
  /** With the chosen type. */
  readonly relativeError: number
}

/**
 * Explains in a sentence why a tensor has its type.
 * @param options from few bits to many.
 * @param pricePerByte the marginal reduction of weighted error for each byte at the solution.
 */
export function explainChoice(
  { tensor, tensors, why, relativeError }: Subject,
  options: readonly Option[],
  { bytes, cost }: Option,
  pricePerByte: number,
): string {
  const tied = tensors.length === 1 ? '' : `, tied to ${tensors.length - 1} more`
  const subject = `${why.charAt(0).toUpperCase()}${why.slice(1)}${tied}`
  if (options.every((option) => isFloatType(option.type)))
    return `${subject}: its row length of ${tensor.shape.at(-1)} is no multiple of any block size.`
  const error = relativeError === 0 ? 'no error' : `relative error ${percent(relativeError)}`
  const better = options.filter((option) => option.bytes > bytes && option.cost < cost)
  const next = better.reduce<Option | undefined>((best, option) => {
    return best === undefined || rate(option, bytes, cost) > rate(best, bytes, cost) ? option : best
  }, undefined)
  if (next === undefined) return `${subject}: ${error}; a larger type does not lower it.`
  const share = pricePerByte === 0 ? 1 : rate(next, bytes, cost) / pricePerByte
  const worth =
    share < 1
      ? `${next.type} would save ${percent(share)} as much error for each byte as other tensors do`
      : `${next.type} exceeds the budget`
  return `${subject}: ${error}; ${worth}.`
}

function rate(option: Option, bytes: number, cost: number): number {
  return (cost - option.cost) / (option.bytes - bytes)
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`
}
