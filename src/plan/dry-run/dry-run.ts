import {
  buffersOf,
  type Footprint,
  footprintOf,
  modelShape,
  type Placement,
  placeOnGpu,
  type RunOptions,
} from '../../footprint/index.js'
import type { Blueprint } from '../../model/index.js'
import { sourceBytes } from '../../recipe/index.js'
import { planPreset } from '../allocate/index.js'
import { plannedBytes } from '../output-layout.js'
import type { Plan } from '../plan.js'
import { planUniform } from '../plan-uniform.js'
import { modelOfPlan } from '../widths.js'
import { type Duration, estimateDuration } from './duration.js'

/** A plan with all that follows from it, and nothing written. */
export interface DryRun extends Plan {
  /** Of the file, or of all shards: header, metadata and padding included. */
  readonly fileBytes: number
  /** How the model is taken to run. */
  readonly run: RunOptions
  /** What it needs to run, as it is planned and at other widths; empty where the metadata do not say enough. */
  readonly memory: readonly MemoryLine[]
  /** For the GPU that was asked about, or with its routed experts left behind. */
  readonly placement?: Placement
  readonly duration: Duration
}

/** Memory to run the model, for one run. */
export interface MemoryLine extends Footprint {
  /** `F16`, `Q8_0`, `Q4_K_M`, or `plan`. */
  readonly name: string
}

/** The run that memory is estimated for, and the machine. */
export interface DryRunOptions {
  readonly run: RunOptions
  /** Memory of a GPU. */
  readonly gpuBytes?: number
  readonly threads?: number
}

/** What a plan comes to: the file's size, the memory to run it and where it goes, the time to make it. */
export async function dryRun(model: Blueprint, plan: Plan, { run, gpuBytes, threads }: DryRunOptions): Promise<DryRun> {
  const blueprint = modelOfPlan(model, plan)
  const readBytes = blueprint.tensors.reduce((sum, { recipe }) => sum + sourceBytes(recipe), 0)
  const duration = await estimateDuration(plan, readBytes, threads)
  const known = { ...plan, fileBytes: plannedBytes(blueprint, plan), run, duration }
  const shape = modelShape(blueprint)
  if (shape === undefined) return { ...known, memory: [] }
  const buffers = buffersOf(shape, run)
  const others = [
    ['F16', planUniform(blueprint, 'F16')],
    ['Q8_0', planUniform(blueprint, 'Q8_0')],
    ['Q4_K_M', planPreset(blueprint, 'Q4_K_M')],
    ['plan', plan],
  ] as const
  const memory = others.map(([name, { tensors }]) => ({ name, ...footprintOf({ tensors }, buffers) }))
  const placement = gpuBytes === undefined ? undefined : placeOnGpu(blueprint, plan.tensors, shape, buffers, gpuBytes)
  return { ...known, memory, placement }
}
