import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Metadata } from '../../formats/gguf/types.js'
import type { Recipe, Shape } from '../recipe/index.js'
import type { Smoothing } from './smooth/smooth.js'
import type { Widening } from './widen/widths.js'

/** What a tensor does in the model: what the allocator reasons about and what a user names in a floor. */
export const tensorRoles = [
  'embedding',
  'output',
  'norm',
  'router', // expert gate and its correction bias
  'attention-q', // q_proj, or MLA's q_b
  'attention-q-a', // MLA: q down-projection
  'attention-k',
  'attention-v',
  'attention-qkv',
  'attention-kv-a', // MLA: kv_a_proj_with_mqa
  'attention-k-b', // MLA: k_b, split and transposed from kv_b
  'attention-v-b',
  'attention-output',
  'ffn-gate', // dense layers
  'ffn-up',
  'ffn-down',
  'shared-expert-gate',
  'shared-expert-up',
  'shared-expert-down',
  'expert-gate', // routed experts, stacked
  'expert-up',
  'expert-down',
  'other',
] as const

/** One of tensorRoles. */
export type TensorRole = (typeof tensorRoles)[number]

/** One tensor of the file to be. */
export interface BlueprintTensor {
  /** GGUF name, such as `blk.3.ffn_down_exps.weight`. */
  readonly name: string
  /** Row-major: the last dimension is the row length, the first of three is the expert. ggml's dimensions are the reverse. */
  readonly shape: Shape
  readonly role: TensorRole
  /** Block number; absent for what stands outside the blocks. */
  readonly layer?: number
  /** Always F32, whatever the output type (1-D, norms, router); a table of whole numbers is always I32. */
  readonly keepF32: boolean
  readonly recipe: Recipe
  /** The ggml type that a checkpoint was trained and saved in, bit for bit (MXFP4): a conversion keeps it. */
  readonly storedType?: GgmlTypeName
  /** Weights of the model among its elements, where zeros were added: see widen. All of them where it is absent. */
  readonly modelElements?: number
  /** Where the model's columns stand among these, `[from, to, count, ...]`, where zeros were added. */
  readonly columns?: readonly number[]
}

/** An adapter whose changes are part of the recipes. */
export interface MergedAdapter {
  /** That of its folder. */
  readonly name: string
  /** Of its configuration and weights. */
  readonly sha256: string
  /** What its changes are multiplied by, besides its own scaling. */
  readonly scale: number
}

/** Everything that is to be written, but for the types: no weight has been read to make it. */
export interface Blueprint {
  /** GGUF architecture, such as `llama` or `deepseek2`. */
  readonly architecture: string
  /** Number of blocks. */
  readonly layers: number
  /** Routed experts of a layer; 0 for a dense model. */
  readonly experts: number
  /** All metadata; general.file_type and general.quantization_version hold their places, and the plan writes their values: see plan-metadata.ts. */
  readonly metadata: Metadata
  /** Absolute paths of the files that recipes read. */
  readonly files: readonly string[]
  /** What files hash to that come from a hub when they are read: they are known by this, not by their time. */
  readonly contents?: readonly (string | undefined)[]
  readonly tensors: readonly BlueprintTensor[]
  /** The type that most weights of the source have. */
  readonly sourceType: 'F32' | 'F16' | 'BF16'
  /** Adapters that are merged, in order; absent where there are none. */
  readonly adapters?: readonly MergedAdapter[]
  /** Sizes of widths before and after zeros were added: see widen. */
  readonly widened?: Widening
  /** Scales that were moved between tensors: see smooth. */
  readonly smoothing?: Smoothing
  /** Things the user should know: dropped tensors, guesses. One sentence each. */
  readonly notes: readonly string[]
}
