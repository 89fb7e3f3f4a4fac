import type { WithProgress } from '../../progress/index.js'
import type { Json, Unit } from '../graph/step.js'
import type { StepRecord } from '../work/work-folder.js'

/** Files that a unit takes, on the machine that runs it. */
export interface UnitInput {
  /** The file, the first of several, or the folder of a checkpoint. */
  readonly path: string
  /** Where its files are: that of a step, or of a checkpoint. */
  readonly folder: string
}

/** A part of a unit that was split: which of its tasks, chunks or tensors it is, and the first file of its result. */
export interface UnitPart {
  readonly first: number
  /** One past the last. */
  readonly end: number
  readonly path: string
}

/** A revision of a model of a hub. */
export interface HubOrigin {
  /** `NS/NAME`. */
  readonly repo: string
  readonly commit: string
}

/** A unit that is to be run, with its bytes at hand. */
export interface UnitTask {
  readonly unit: Unit
  readonly key: string
  /** By role. */
  readonly inputs: Readonly<Record<string, UnitInput>>
  /** The unit's parts, in their order, where it was split (split.ts): it puts them together. */
  readonly parts?: readonly UnitPart[]
  /** Where files of a hub come from; they are named by their digests, so that the result does not depend on it. */
  readonly origin?: HubOrigin
  /** Where files go. Who computes the unit makes it; it may hold what an earlier run of the same unit has left. */
  readonly folder: string
}

/** What running a unit gives. */
export interface UnitResult {
  /** Names of files in the folder, in their order. */
  readonly files: readonly string[]
  /** Small things to know without opening the files. */
  readonly result: Json
  /** Where the result is in the work folder already, and was checked there. */
  readonly record?: StepRecord
}

/**
 * Where units are run: in this process (in-process.ts), or by other processes and machines behind a queue (src/farm): a unit says by
 * content what it takes, and its result is named by its key, so that two that run the same one do no harm.
 */
export interface UnitExecutor {
  /** So many units are run at a time. */
  readonly capacity: number
  /** Whether units are run on other machines, too, which see the work folder, and of this machine perhaps no more. */
  readonly isRemote?: boolean
  /** Where it is: bytes of a file of a hub that is fetched by a unit of its own, at least; by default 64 MiB. */
  readonly fetchBytes?: number | undefined
  /** Runs a unit. @throws MqError of the work. */
  run(task: UnitTask): WithProgress<UnitResult>
  /** Ends what is under way, with INTERRUPTED: another unit has failed. Where only one is run at a time there is nothing to end. */
  cancel?(): void
}
