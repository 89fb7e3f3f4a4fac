import { familyOfArchitecture } from '../architectures/index.js'
import type { Blueprint } from '../blueprint.js'
import { type Axis, isNorm, writesStream } from './tensor-axes.js'
import type { Heads } from './widths.js'

/** What the values of a tensor along the residual stream are multiplied by. */
export type ScaleOf = (name: string, axes: readonly Axis[]) => number

/**
 * What keeps a model's function when norms along the residual stream divide by the mean square of more values. Each way multiplies their
 * weights by sqrt(ratio), to which `plain` adds the epsilon and the others what the norms read: see WidenableWidths.
 * @param ratio the old width over the new.
 */
export function scalesOf({ architecture, tensors }: Blueprint, ratio: number, heads: Heads | undefined): ScaleOf {
  if (ratio === 1) return () => 1
  const norm = Math.sqrt(ratio)
  const tied = !tensors.some(({ name }) => name === 'output.weight')
  const isLastNorm = (name: string): boolean => /^output_norm\.|\.shared_head_norm\./.test(name)
  /** Norms of what a part writes come after its matrix, which is multiplied in their place. */
  const isPartsNorm = (name: string): boolean => /\.post_(?:attention|ffw)_norm\.weight$/.test(name)
  /** A tied head is multiplied as an embedding is. */
  const ofNorm = (name: string): number => (tied && isLastNorm(name) ? ratio : norm)
  switch (familyOfArchitecture(architecture)?.widths?.embedding) {
    case 'stream':
      return (name, axes) => (writesStream(name, axes) ? 1 / norm : isNorm(name) ? ofNorm(name) : 1)
    case 'scaled':
      return (name, axes) => {
        if (name === 'token_embd.weight' || isPartsNorm(name)) return 1
        return writesStream(name, axes) ? 1 / norm : isNorm(name) ? norm : 1
      }
    case 'stream-read': {
      const queries = heads === undefined ? 0 : heads.count * heads.keyLength
      const together = new Set(
        tensors.flatMap(({ name, shape }) => (name.endsWith('attn_q_norm.weight') && shape[0] === queries ? [name] : [])),
      )
      return (name, axes) => {
        if (isPartsNorm(name)) return 1
        if (writesStream(name, axes)) return 1 / norm
        if (isNorm(name)) return ofNorm(name)
        // A norm of all queries together divides by more of them, too: what is read for it stays multiplied.
        if (together.has(name.replace(/attn_q\.weight$/, 'attn_q_norm.weight'))) return 1
        return axes.length > 1 && axes.at(-1) === 'E' && name !== 'output.weight' ? norm : 1
      }
    }
    default:
      return (name) => (isNorm(name) ? norm : 1)
  }
}
