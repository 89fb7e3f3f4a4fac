import type { Blueprint, BlueprintTensor, TensorRole } from '../../model/index.js'
import { elementCount } from '../../recipe/index.js'

/** Residual stream share of a tensor's layer part: the power that it adds, relative to the stream's power after it, from 0 to 1. */
export type ResidualShare = (tensor: BlueprintTensor) => number

/** Output power of a tensor divided by its number of weights: times the weights, it is the mean of |W x|^2. */
export type OutputPower = (tensor: string) => number | undefined

/** Growth of the residual stream's power from one layer part to the next, 4.5 % for each layer in norm: Heimersheim and Turner 2023, for GPT-2 XL. */
const growth = 1.045

/** Part of the shared expert in the power that a mixture-of-experts layer adds, where nothing is measured. */
const sharedExpertPart = 0.3

/**
 * Expected shares of a model of this depth, if the residual stream grows by the same factor in each layer part: 1 for the first (the embedding is
 * small compared with what layers add), and decreasing.
 */
export function expectedShares({ tensors }: Pick<Blueprint, 'tensors'>): ResidualShare {
  const routed = new Set(tensors.filter(({ role }) => role.startsWith('expert-')).map(({ layer }) => layer))
  return ({ role, layer }) => {
    if (layer === undefined) return 1
    const kind = kindOf(role)
    const before = 2 * layer + (kind === 'attention' ? 1 : 2)
    const share = (1 - 1 / growth) / (1 - growth ** -before)
    if (kind === 'shared') return share * sharedExpertPart
    return kind === 'routed' || (routed.has(layer) && kind !== 'attention') ? share * (1 - sharedExpertPart) : share
  }
}

/**
 * Measured shares, from the power that each layer part adds; undefined where that is not known of every layer.
 * @param power as `measure` computes it from a calibration.
 */
export function measuredShares({ tensors, metadata, architecture }: Blueprint, power: OutputPower): ResidualShare | undefined {
  const used = metadata.get(`${architecture}.expert_used_count`)?.value
  const scale = metadata.get(`${architecture}.expert_weights_scale`)?.value
  // Weights of the experts in use add up to the scale: that many vectors, each of 1 / used of it.
  const mixed = (typeof scale === 'number' && scale > 0 ? scale : 1) ** 2 / (typeof used === 'number' ? used : 1)
  const written = new Map<string, number>()
  for (const tensor of tensors) {
    const { name, shape, role, layer } = tensor
    if (layer === undefined || !writers.has(role)) continue
    const each = power(name)
    if (each === undefined) return undefined
    const kind = kindOf(role)
    const whole = each * elementCount(shape.slice(-2)) * (kind === 'routed' ? mixed : 1)
    const key = `${layer} ${kind}`
    written.set(key, (written.get(key) ?? 0) + whole)
  }
  const shares = new Map<string, number>()
  const layers = [...new Set(tensors.flatMap(({ layer }) => (layer === undefined ? [] : [layer])))].toSorted((a, b) => a - b)
  let stream = 0
  for (const layer of layers) {
    for (const kinds of [['attention'], ['dense', 'shared', 'routed']]) {
      const parts = kinds.map((kind) => [`${layer} ${kind}`, written.get(`${layer} ${kind}`) ?? 0] as const)
      stream += parts.reduce((sum, [, part]) => sum + part, 0)
      for (const [key, part] of parts) shares.set(key, stream > 0 ? part / stream : 1)
    }
  }
  return ({ role, layer }) => (layer === undefined ? 1 : (shares.get(`${layer} ${kindOf(role)}`) ?? 1))
}

/** Roles whose outputs are added to the residual stream. */
const writers = new Set<TensorRole>(['attention-output', 'ffn-down', 'shared-expert-down', 'expert-down'])

function kindOf(role: TensorRole): 'attention' | 'dense' | 'shared' | 'routed' {
  if (role.startsWith('attention-')) return 'attention'
  if (role.startsWith('shared-expert-')) return 'shared'
  return role.startsWith('expert-') ? 'routed' : 'dense'
}
