import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import type { BlueprintTensor } from '../../model/index.js'
import { isWide } from './candidates.js'
import type { Choice } from './greedy.js'

/** A type that a tensor, or several tied together, may get. */
export interface Option extends Choice {
  readonly type: GgmlTypeName
}

interface Subject {
  readonly tensor: BlueprintTensor
  /** Those that get one type with it, itself among them. */
  readonly tensors: readonly BlueprintTensor[]
  /** What the tensor is to the model. */
  readonly why: string
  /** At the type that was chosen. */
  readonly relativeError: number
}

/**
 * Why a tensor has its type, in a sentence.
 * @param options from few bits to many.
 * @param pricePerByte what a byte would have to save to be worth its place.
 */
export function explainChoice(
  { tensor, tensors, why, relativeError }: Subject,
  options: readonly Option[],
  { bytes, cost }: Option,
  pricePerByte: number,
): string {
  const tied = tensors.length === 1 ? '' : `, tied to ${tensors.length - 1} more`
  const subject = `${why.charAt(0).toUpperCase()}${why.slice(1)}${tied}`
  if (options.every((option) => isWide(option.type)))
    return `${subject}: its rows of ${tensor.shape.at(-1)} values fit no smaller type.`
  const error = relativeError === 0 ? 'no error' : `an error of ${percent(relativeError)}`
  const better = options.filter((option) => option.bytes > bytes && option.cost < cost)
  const next = better.reduce<Option | undefined>((best, option) => {
    return best === undefined || rate(option, bytes, cost) > rate(best, bytes, cost) ? option : best
  }, undefined)
  if (next === undefined) return `${subject}: ${error}, and no type does better.`
  const share = pricePerByte === 0 ? 1 : rate(next, bytes, cost) / pricePerByte
  const worth =
    share < 1
      ? `a byte in ${next.type} would save ${percent(share)} of what it saves elsewhere`
      : `${next.type} does not fit the budget any more`
  return `${subject}: ${error}; ${worth}.`
}

function rate(option: Option, bytes: number, cost: number): number {
  return (cost - option.cost) / (option.bytes - bytes)
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`
}
