import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { type GgufLayout, layoutGguf, type Metadata, planShards, shardMetadata, shardName } from '../../formats/gguf/index.js'
import { MqError } from '../errors/index.js'
import type { Blueprint } from '../model/index.js'
import { checkPlan } from './check-plan.js'
import type { Plan, PlanTensor } from './plan.js'
import { withPlanMetadata } from './plan-metadata.js'
import { modelOfPlan } from './widths.js'

/** One file of the output: the only one, or a shard. */
export interface OutputPart {
  readonly path: string
  /** Header of the file, padded up to the data. */
  readonly header: Uint8Array
  readonly fileBytes: number
}

/** Location of a tensor's blocks in the output files. */
export interface TensorLocation {
  readonly name: string
  readonly type: GgmlTypeName
  /** Index into the parts. */
  readonly part: number
  /** First byte in the file of that part. */
  readonly offset: number
}

/** Headers, offsets and sizes of the output files, known before the first byte is written. */
export interface OutputLayout {
  readonly parts: readonly OutputPart[]
  /** In the order of the plan. */
  readonly tensors: readonly TensorLocation[]
  /** Of all files together. */
  readonly sizeBytes: number
}

/** split.count is 16 bits wide. */
const maxParts = 65535

/**
 * Lays out the file of a plan, or its shards: tensors in the order of the plan, those of a shard together at most `splitMaxBytes`, as
 * llama-gguf-split counts it (padding included, headers not). What fits into one file is one file, under its own name; a shard's name
 * has -00001-of-00003 before `.gguf`.
 * @param plan checked against the blueprint.
 * @throws MqError OPTION_INVALID where the parts are too many; FormatError GGUF_INVALID, GGML_ROW_MISALIGNED.
 */
export function layoutOutput(blueprint: Blueprint, plan: Plan, path: string, splitMaxBytes?: number): OutputLayout {
  const metadata = withPlanMetadata(blueprint.metadata, plan.fileType)
  const shards = splitMaxBytes === undefined ? [plan.tensors] : planShards(plan.tensors, splitMaxBytes)
  if (shards.length === 1) return assemble([path], [layoutOf(metadata, plan.tensors)])
  if (shards.length > maxParts) {
    const problem = `it makes ${shards.length} files, and a split model has at most ${maxParts}`
    throw MqError.of('OPTION_INVALID', { option: 'splitMaxBytes', value: String(splitMaxBytes), problem })
  }
  const stem = path.replace(/\.gguf$/, '')
  return assemble(
    shards.map((_, index) => shardName(stem, index, shards.length)),
    shards.map((tensors, index) => layoutOf(shardMetadata(metadata, index, shards.length, plan.tensors.length), tensors)),
  )
}

function layoutOf(metadata: Metadata, tensors: readonly PlanTensor[]): GgufLayout {
  return layoutGguf(
    metadata,
    tensors.map(({ name, shape, type }) => ({ name, type, dimensions: shape.toReversed() })),
  )
}

function assemble(paths: readonly string[], layouts: readonly GgufLayout[]): OutputLayout {
  return {
    parts: layouts.map(({ header, fileBytes }, part) => ({ path: paths[part] as string, header, fileBytes })),
    tensors: layouts.flatMap(({ tensors, dataOffset }, part) =>
      tensors.map(({ name, type, offset }) => ({ name, type, part, offset: dataOffset + offset })),
    ),
    sizeBytes: layouts.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
  }
}

/** Size of the files that a plan comes to, to the byte. */
export function plannedBytes(blueprint: Blueprint, plan: Plan, splitMaxBytes?: number): number {
  const model = modelOfPlan(blueprint, plan)
  return layoutOutput(model, checkPlan(plan, model), 'planned.gguf', splitMaxBytes).sizeBytes
}
