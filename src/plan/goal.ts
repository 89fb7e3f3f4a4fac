import type { CacheType } from '../footprint/index.js'

/** The goal of a plan, as data. */
export type PlanGoal = (
  | { readonly kind: 'bits'; readonly bits: number }
  /** `size`: as it was written, such as `212GB`. */
  | { readonly kind: 'size'; readonly size: string }
  | { readonly kind: 'fit'; readonly memory: string; readonly context: number; readonly cacheType: CacheType }
  | { readonly kind: 'preset'; readonly preset: string }
  | { readonly kind: 'mixture'; readonly mixture: string }
  | { readonly kind: 'type'; readonly type: string }
) & {
  /** `REGEX=TYPE`: exceptions by name. */
  readonly tensorTypes?: readonly string[]
  /** `ROLE=TYPE`: lowest type of a role. */
  readonly floors?: readonly string[]
  /** `ROLE,ROLE`: roles that have one type within a layer. */
  readonly ties?: readonly string[]
  /** Candidate types besides the default ones. */
  readonly candidates?: readonly string[]
}

/** A goal for people: `2.51 bits per weight, ffn_down=Q6_K`. */
export function goalText(goal: PlanGoal): string {
  const { tensorTypes = [], floors = [], ties = [], candidates = [] } = goal
  return [
    mainText(goal),
    ...tensorTypes,
    ...floors.map((spec) => `at least ${spec}`),
    ...ties.map((roles) => `${roles} alike`),
    ...(candidates.length === 0 ? [] : [`also ${candidates.join(', ')}`]),
  ].join(', ')
}

function mainText(goal: PlanGoal): string {
  switch (goal.kind) {
    case 'bits':
      return `${goal.bits} bits per weight`
    case 'size':
      return `a file of ${goal.size}`
    case 'fit':
      return `${goal.memory} of memory at a context of ${goal.context}${goal.cacheType === 'F16' ? '' : ` in ${goal.cacheType}`}`
    case 'preset':
      return `preset ${goal.preset}`
    case 'mixture':
      return `mixture ${goal.mixture}`
    case 'type':
      return `type ${goal.type}`
  }
}
