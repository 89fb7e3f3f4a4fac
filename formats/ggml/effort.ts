/** How hard the encoders search for scales and codes; docs/kernels.md has the cost and the gain. Plain types have one way only. */
export type Effort = 'fast' | 'default' | 'best'

/** All efforts, the quickest first. */
export const efforts: readonly Effort[] = ['fast', 'default', 'best']
