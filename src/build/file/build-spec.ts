import type { buildFields } from './build-fields.js'
import type { ValueOf } from './fields.js'
import type { Place } from './read-fields.js'

type FileValue = ValueOf<{ readonly kind: 'object'; readonly fields: typeof buildFields }>
type ModelValue = FileValue['models'][string]

/** How a model is calibrated. */
export type CalibrationSpec = NonNullable<ModelValue['calibration']>
/** What outputs are measured on. */
export type TestSpec = NonNullable<ModelValue['test']>
/** One output. */
export type OutputSpec = NonNullable<ModelValue['outputs']>[string]
/** One gate. */
export type GateSpec = NonNullable<ModelValue['gates']>[number]
/** One publication. */
export type PublishSpec = NonNullable<ModelValue['publish']>[number]

/** A model with what the top level says for it. Paths are absolute; hf: and registry: names are as they were written. */
export interface ModelSpec extends Omit<ModelValue, 'calibration' | 'test' | 'outputs' | 'gates' | 'publish' | 'card' | 'lora'> {
  readonly key: string
  readonly lora: readonly string[]
  readonly calibration?: CalibrationSpec
  readonly test?: TestSpec
  readonly outputs: Readonly<Record<string, OutputSpec>>
  readonly gates: readonly GateSpec[]
  readonly publish: readonly PublishSpec[]
  readonly card: NonNullable<ModelValue['card']>
  /** Where the parts stand in the file, for errors of later steps. */
  readonly placeOf: (path: readonly (string | number)[]) => Place
}

/** A build file that has been read and checked. */
export interface BuildSpec {
  /** Absolute. */
  readonly path: string
  readonly title: string
  readonly threads?: number
  readonly memoryBytes?: number
  readonly models: readonly ModelSpec[]
}

/** The file as the table of fields gives it. */
export type { FileValue, ModelValue }
