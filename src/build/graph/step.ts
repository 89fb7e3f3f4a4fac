import type { Place } from '../file/read-fields.js'

/** Data that JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }

/** What steps do; each is a file in src/build/run/units. */
export const stepKinds = ['convert', 'calibrate', 'merge', 'plan', 'quantize', 'reference', 'measure'] as const
export type StepKind = (typeof stepKinds)[number]

/** What units do: steps, parts of steps (src/build/run/split), and fetching files of a hub (src/build/sources/fetch-model). */
export const unitKinds = [
  ...stepKinds,
  'quantize-part',
  'calibrate-part',
  'plan-part',
  'reference-part',
  'measure-part',
  'fetch',
] as const
export type UnitKind = (typeof unitKinds)[number]

/** Where a step takes something from: from outside, by the graph's key, or from another step. */
export type StepInput = { readonly given: string } | { readonly step: string }

/** One step of a build: all that its result depends on, and where the rest comes from. Plain data. */
export interface Step {
  /** `llama/quantize/small`. */
  readonly id: string
  readonly kind: StepKind
  /** Names of the build file. */
  readonly model: string
  readonly output?: string
  /** What the bytes of the result depend on, beside the inputs. */
  readonly options: { readonly [key: string]: Json | undefined }
  /** By role. */
  readonly inputs: Readonly<Record<string, StepInput>>
  /** Where it stands in the build file, for errors. */
  readonly place: Place
}

/**
 * A step whose inputs are known by content: the description of a pure function's call, which any process with the same version of mq can
 * make. Its digest names its result.
 */
export interface Unit {
  /** Of mq and of its kernels; of the form of the unit alone, where the result depends on no computation. */
  readonly version: string
  readonly kind: UnitKind
  readonly options: Step['options']
  /** Role -> digest. */
  readonly inputs: Readonly<Record<string, string>>
}

/** Something that comes from outside: a checkpoint, a GGUF file, an adapter, a text. */
export interface Given {
  readonly digest: string
  /** On this machine: a folder, or a file (of a split GGUF the first shard). */
  readonly path: string
  /** Its files. */
  readonly files: readonly { readonly name: string; readonly path: string; readonly sha256: string; readonly sizeBytes: number }[]
}

/** The steps of a build in an order in which they can be done, and what they take from outside. */
export interface Graph {
  readonly steps: readonly Step[]
  readonly givens: ReadonlyMap<string, Given>
}
