import { heldOutBytes } from './input-covariances.js'
import type { Prepared, PreparedKey } from './task.js'

// Sizes of data prepared from covariances, by rank, or 'whole' for a full covariance.

/** Bytes of prepared data. */
export function sizeOf(prepared: Prepared): number {
  if ('panels' in prepared) return prepared.panels.byteLength
  if ('tables' in prepared) return Object.values(prepared.tables).reduce((sum, { byteLength }) => sum + byteLength, 0)
  const { covariance } = prepared
  if ('full' in covariance) return covariance.full.byteLength
  return covariance.diagonal.byteLength + (covariance.factors?.byteLength ?? 0)
}

/** Estimated bytes to prepare data: input, working memory and result. */
export function preparationBytes({ form, columns }: PreparedKey, rank: number | 'whole'): number {
  switch (form) {
    case 'held-out':
      return heldOutBytes
    case 'covariance':
      // sums, their sketch three times as wide as the rank in single and double precision, its signs; the result twice
      return columns * (rank === 'whole' ? 18 * columns : 16 * (1 + rank) + 3 * rank * (4 + 8 + 4))
    case 'outputs':
      return panelBytes(columns, rank)
    default:
      return tableBytes(columns, rank) + columns * (rank === 'whole' ? 8 * columns : 16 * (1 + rank))
  }
}

/** Bytes that a thread's kernels keep for one input: tables, panels, working memory. */
export function threadBytes(columns: number, rank: number | 'whole'): number {
  return tableBytes(columns, rank) + panelBytes(columns, rank) + workBytesEach * columns
}

/** Working memory of the kernels for each column, where the state is low; where it is the row's length, as much again. */
const workBytesEach = 2 * 96

function tableBytes(columns: number, rank: number | 'whole'): number {
  return 4 * columns * (35 + (rank === 'whole' ? columns / 4 : depthOf(rank)))
}

function panelBytes(columns: number, rank: number | 'whole'): number {
  return 4 * columns * (rank === 'whole' ? columns : 2 * depthOf(rank / 2))
}

function depthOf(rank: number): number {
  return Math.max(4, 4 * Math.ceil(rank / 4))
}
