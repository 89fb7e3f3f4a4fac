import { decoderSpecs } from './decoders.js'
import { encoderSpecs } from './encoders.js'
import { furtherDecoderSpecs } from './further-decoders.js'
import { latestDecoderSpecs } from './latest-decoders.js'
import { moreDecoderSpecs } from './more-decoders.js'
import { newerDecoderSpecs } from './newer-decoders.js'
import type { CheckpointSpec } from './spec.js'

export type { CheckpointSpec } from './spec.js'
export { writeCheckpointOf } from './write.js'

/** Tiny checkpoints of the classes that llama.cpp's converter takes. */
export const checkpointSpecs: readonly CheckpointSpec[] = [
  ...decoderSpecs,
  ...encoderSpecs,
  ...moreDecoderSpecs,
  ...furtherDecoderSpecs,
  ...newerDecoderSpecs,
  ...latestDecoderSpecs,
]
