import { MqError } from '../errors/index.js'
import type { RunOptions } from '../footprint/index.js'
import type { Mixture } from './allocate/index.js'
import type { Plan } from './plan.js'

/** A size in bytes, and as the user wrote it. */
export interface AskedSize {
  readonly bytes: number
  /** As it was written, such as `212GB`. */
  readonly text: string
}

/** Types set by tensor name. */
interface Exceptions {
  /** `REGEX=TYPE`: exceptions by name. */
  readonly tensorTypes?: readonly string[]
}

/** Constraints on the types that a budget chooses. */
interface Bounds extends Exceptions {
  /** `ROLE=TYPE`: lowest type of a role. */
  readonly floors?: readonly string[]
  /** `ROLE,ROLE`: roles that have one type within a layer. */
  readonly ties?: readonly string[]
  /** Candidate types besides the default ones, such as `Q2_0`. */
  readonly candidates?: readonly string[]
}

/** A budget: bits per weight, file size or memory. */
export type BudgetRequest = Bounds &
  (
    | {
        readonly kind: 'bits'
        /** Bits per weight, not to be exceeded. */
        readonly bits: number
      }
    | {
        readonly kind: 'size'
        /** Of the file, or of all shards, not to be exceeded. */
        readonly size: AskedSize
        /** Most bytes of tensor data in one file, where it is to be split. */
        readonly splitMaxBytes?: number
      }
    | {
        readonly kind: 'fit'
        /** What the running model may take, not to be exceeded. */
        readonly memory: AskedSize
        /** How it is to run. */
        readonly run: RunOptions
      }
  )

/** Request for a plan: a budget, a preset, mixture or type, or an existing plan. */
export type PlanRequest =
  | BudgetRequest
  /** A preset of llama-quantize, such as `Q4_K_M`. */
  | (Exceptions & { readonly kind: 'preset'; readonly preset: string })
  /** A mixture from a JSON file. */
  | (Exceptions & { readonly kind: 'mixture'; readonly mixture: Mixture })
  /** One type for all tensors, such as `Q4_K`. */
  | (Exceptions & { readonly kind: 'type'; readonly type: string })
  | { readonly kind: 'plan'; readonly plan: Plan }

/** Name of the quantization for file names: `Q4_K_M`, `2.51bpw`, `212GB`. */
export function encodingOf(request: PlanRequest): string {
  switch (request.kind) {
    case 'bits':
      return `${request.bits}bpw`
    case 'size':
      return withoutSpaces(request.size.text)
    case 'fit':
      return withoutSpaces(request.memory.text)
    case 'preset':
      return request.preset.toUpperCase()
    case 'type':
      return request.type.toUpperCase()
    case 'mixture':
      return request.mixture.name
    case 'plan':
      return encodingOfPlan(request.plan)
    default:
      throw unknownKind(request)
  }
}

/** The error of a request of an unknown kind, from a caller in plain JavaScript. */
export function unknownKind(request: never): MqError {
  const { kind } = request as { readonly kind?: unknown }
  const problem = 'a plan is asked for by kind: bits, size, fit, preset, mixture, type or plan'
  return MqError.of('OPTION_INVALID', { option: 'kind', value: String(kind), problem })
}

function encodingOfPlan({ request, bitsPerWeight }: Plan): string {
  if (request?.kind === 'preset') return request.preset.toUpperCase()
  if (request?.kind === 'type') return request.type.toUpperCase()
  return request?.kind === 'mixture' ? request.mixture : `${bitsPerWeight.toFixed(2)}bpw`
}

function withoutSpaces(text: string): string {
  return text.replaceAll(/\s/g, '')
}
