import { type ImatrixOptions, type ImatrixReport, makeImatrix } from './calibration/index.js'
import type { WithProgress } from './progress/index.js'
import { asGguf } from './quantize/index.js'

/** What a calibration is made from and where it goes; see ImatrixOptions. */
export type CalibrateOptions = Omit<ImatrixOptions, 'toGguf'>

/**
 * Runs a model over a text and writes what its weights' inputs look like: importance matrix, and covariances for error feedback. A
 * checkpoint is converted to a temporary GGUF first.
 * @throws MqError as makeImatrix and a conversion do.
 */
export function calibrate(options: CalibrateOptions): WithProgress<ImatrixReport> {
  return makeImatrix({ ...options, toGguf: asGguf })
}
