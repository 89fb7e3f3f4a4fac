import type { Effort } from './effort.js'
import type { GgmlTypeName } from './types.js'

/** Columns that share a scale, each by itself (`x1`) or eight neighbours together, as points of a codebook with their signs (`x8`). */
export type FeedbackLayout = '16x1' | '32x1' | '16x8' | '32x8'

export const feedbackLayouts: readonly FeedbackLayout[] = ['16x1', '32x1', '16x8', '32x8']

/** The layout of a type's columns; undefined where codes are not chosen with feedback. */
export function feedbackLayout(type: GgmlTypeName): FeedbackLayout | undefined {
  return forms[type]?.layout
}

/** Steps that a scale may go from the encoder's, either way, and a minimum too. */
export function feedbackReach(type: GgmlTypeName, effort: Effort): number {
  return forms[type]?.reach[effort] ?? 0
}

interface Form {
  readonly layout: FeedbackLayout
  readonly reach: Readonly<Record<Effort, number>>
}

// With a minimum the candidates are as many as the square of the steps. ggml itself is quick with Q3_K and Q6_K;
// IQ1_S is tried with either shift.
const withMinimum = { fast: 1, default: 2, best: 3 }
const withScale = { fast: 1, default: 2, best: 6 }
const quick = { fast: 1, default: 1, best: 4 }
const withPoints = { fast: 1, default: 2, best: 4 }
const ternary = { fast: 1, default: 1, best: 3 }

const forms: { readonly [type in GgmlTypeName]?: Form } = {
  Q2_K: { layout: '16x1', reach: withMinimum },
  Q3_K: { layout: '16x1', reach: quick },
  Q4_K: { layout: '32x1', reach: withMinimum },
  Q5_K: { layout: '32x1', reach: withMinimum },
  Q6_K: { layout: '16x1', reach: quick },
  Q4_0: { layout: '32x1', reach: withScale },
  Q4_1: { layout: '32x1', reach: withMinimum },
  Q5_0: { layout: '32x1', reach: withScale },
  Q5_1: { layout: '32x1', reach: withMinimum },
  Q8_0: { layout: '32x1', reach: withScale },
  IQ4_NL: { layout: '32x1', reach: withScale },
  IQ4_XS: { layout: '32x1', reach: withScale },
  IQ1_S: { layout: '32x8', reach: ternary },
  IQ1_M: { layout: '16x8', reach: ternary },
  IQ2_XXS: { layout: '32x8', reach: withPoints },
  IQ2_XS: { layout: '16x8', reach: withPoints },
  IQ2_S: { layout: '16x8', reach: withPoints },
  IQ3_XXS: { layout: '32x8', reach: withPoints },
  IQ3_S: { layout: '32x8', reach: withPoints },
}
