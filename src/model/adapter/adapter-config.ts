import * as v from 'valibot'
import { MqError } from '../../errors/index.js'

const amount = v.pipe(v.number(), v.finite(), v.minValue(0))
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const rank = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(65_536))

const schema = v.looseObject({
  r: v.nullish(rank),
  lora_alpha: v.nullish(amount),
  use_rslora: v.nullish(v.boolean()),
  rank_pattern: v.nullish(v.record(v.string(), rank)),
  alpha_pattern: v.nullish(v.record(v.string(), amount)),
  fan_in_fan_out: v.nullish(v.boolean()),
  use_dora: v.nullish(v.boolean()),
  target_modules: v.nullish(v.union([v.string(), v.array(v.string())])),
  target_parameters: v.nullish(v.array(v.string())),
  trainable_token_indices: v.nullish(v.union([v.array(whole), v.record(v.string(), v.array(whole))])),
  base_model_name_or_path: v.nullish(v.string()),
  alora_invocation_tokens: v.nullish(v.array(whole)),
})

/** Fields of peft's adapter_config.json that a merge depends on. */
export interface AdapterConfig {
  /** Returns the scaling of a module's update B A. @param module its name without `base_model.model.`. */
  scalingOf(module: string, rank: number): number
  /** `lora_alpha`, of all modules that have no pattern of their own. */
  readonly alpha: number
  readonly fanInFanOut: boolean
  /** Whether magnitudes are trained apart from directions (DoRA). */
  readonly isDora: boolean
  /** Parameters of modules that are no linear layers, such as `mlp.experts.gate_up_proj`. */
  readonly targetParameters: readonly string[]
  /** Rows of the embedding that were trained on their own. @param module the embedding's name. */
  tokensOf(module: string): readonly number[]
  /** `base_model_name_or_path`. */
  readonly baseModel: string | undefined
  /** Whether an output matrix that is tied to the embedding stays so. */
  readonly keepsTies: boolean
  /** Tokens after which alone the adapter works (aLoRA); empty for others. */
  readonly invocationTokens: readonly number[]
}

/** Kinds of adapters that are not LoRA, by their peft_type. */
const kinds: Readonly<Record<string, string>> = {
  ADALORA: 'an AdaLoRA adapter',
  IA3: 'an IA3 adapter',
  LOHA: 'a LoHa adapter',
  LOKR: 'a LoKr adapter',
  OFT: 'an OFT adapter',
  BOFT: 'a BOFT adapter',
  VERA: 'a VeRA adapter',
  FOURIERFT: 'a FourierFT adapter',
  VBLORA: 'a VB-LoRA adapter',
  XLORA: 'an X-LoRA adapter',
  POLY: 'a Poly adapter',
  LN_TUNING: 'an LN tuning adapter',
  PREFIX_TUNING: 'a prefix tuning adapter',
  PROMPT_TUNING: 'a prompt tuning adapter',
  MULTITASK_PROMPT_TUNING: 'a prompt tuning adapter',
  P_TUNING: 'a p-tuning adapter',
  ADAPTION_PROMPT: 'an adaption prompt',
}

/** Fields of variants that are not a sum with the base weight, with their names for messages. */
const variants: Readonly<Record<string, string>> = {
  use_qalora: 'QALoRA',
  use_bdlora: 'block-diagonal LoRA (BD-LoRA)',
  layer_replication: 'LoRA with replicated layers (layer_replication)',
  arrow_config: 'LoRA with Arrow routing',
  kasa_config: 'KaSA',
  monteclora_config: 'MonteCLoRA',
  alora_invocation_tokens: 'activated LoRA (aLoRA), which works on some tokens only',
  megatron_config: 'LoRA of Megatron layers',
}

/** Initializations that change the base weights, so that the adapter does not fit the original model. */
const changedBases = /^(?:pissa(?:_niter_\d+)?|olora|corda|loftq|lora_ga)$/i

const convertAdvice =
  'Convert it to plain LoRA with peft: save_pretrained(DIR, path_initial_model_for_weight_conversion=INITIAL), or merge it there with merge_and_unload() and save the model'
const mergeAdvice = 'Merge it into the model with merge_and_unload() of peft, save that, and convert the folder'

/**
 * Reads adapter_config.json. Source: LoraConfig of peft 0.21 (tuners/lora/config.py) and get_pattern_key (utils/other.py).
 * @param file its path, for messages.
 * @param use `merge`, or `apart` for an adapter in a GGUF file of its own.
 * @throws MqError ADAPTER_INVALID; ADAPTER_UNSUPPORTED for other kinds and variants, which it names.
 */
export function readAdapterConfig(json: Readonly<Record<string, unknown>>, file: string, use: 'merge' | 'apart'): AdapterConfig {
  const unsupported = (kind: string, advice: string): MqError => MqError.of('ADAPTER_UNSUPPORTED', { file, kind, advice })
  const { peft_type: kind, lora_parameters: mlx } = json
  if (kind === undefined && mlx !== undefined) {
    throw unsupported('an adapter of MLX', 'Fuse it with mlx_lm.fuse --de-quantize, and convert the fused model')
  }
  if (typeof kind !== 'string') throw MqError.of('ADAPTER_INVALID', { file, problem: 'it does not say its peft_type' })
  if (kind !== 'LORA') throw unsupported(kinds[kind] ?? `an adapter of the kind ${kind.slice(0, 60)}`, mergeAdvice)
  const given = (name: string): boolean => isGiven(json[name])
  for (const [name, what] of Object.entries(variants)) {
    if (name === 'alora_invocation_tokens' && use === 'apart') continue
    if (given(name)) throw unsupported(what, name === 'alora_invocation_tokens' ? activatedAdvice : mergeAdvice)
  }
  const initial = json['init_lora_weights']
  if (typeof initial === 'string' && changedBases.test(initial)) {
    throw unsupported(`LoRA that began as ${initial}, which changes the base model`, convertAdvice)
  }
  const parsed = v.safeParse(schema, json)
  if (!parsed.success) {
    const [issue] = parsed.issues
    throw MqError.of('ADAPTER_INVALID', { file, problem: `${v.getDotPath(issue) ?? 'its content'}: ${issue.message}` })
  }
  const { output } = parsed
  if (output.use_dora === true && use === 'apart') {
    throw unsupported('a DoRA adapter, which GGUF cannot hold apart from its base', 'Merge it with --lora instead')
  }
  const alpha = output.lora_alpha ?? 8
  const alphas = patterns(output.alpha_pattern ?? {}, file)
  const ranks = patterns(output.rank_pattern ?? {}, file)
  const tokens = output.trainable_token_indices ?? []
  return {
    alpha,
    scalingOf(module, found) {
      const stated = find(ranks, module) ?? output.r ?? found
      if (stated !== found) {
        throw MqError.of('ADAPTER_INVALID', {
          file,
          problem: `it says that ${module} has rank ${stated}, and its weights have ${found}`,
        })
      }
      return (find(alphas, module) ?? alpha) / (output.use_rslora === true ? Math.sqrt(found) : found)
    },
    fanInFanOut: output.fan_in_fan_out === true,
    isDora: output.use_dora === true,
    targetParameters: output.target_parameters ?? [],
    tokensOf: (module) =>
      Array.isArray(tokens)
        ? tokens
        : (Object.entries(tokens).find(([name]) => module === name || module.endsWith(`.${name}`))?.[1] ?? []),
    baseModel: output.base_model_name_or_path ?? undefined,
    keepsTies: json['ensure_weight_tying'] === true,
    invocationTokens: output.alora_invocation_tokens ?? [],
  }
}

const activatedAdvice = 'Keep it apart from the base: mq convert BASE --lora-gguf DIR, and load both'

function isGiven(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false
  return !(Array.isArray(value) && value.length === 0)
}

type Patterns = readonly (readonly [RegExp, number])[]

/** Keys are regular expressions for the end of a module's name. */
function patterns(values: Readonly<Record<string, number>>, file: string): Patterns {
  return Object.entries(values).map(([key, value]) => {
    try {
      return [new RegExp(`^(?:.*\\.)?(?:${key})$`), value] as const
    } catch (error) {
      throw MqError.of('ADAPTER_INVALID', { file, problem: `${key.slice(0, 80)} is not a regular expression` }, { cause: error })
    }
  })
}

function find(all: Patterns, module: string): number | undefined {
  return all.find(([pattern]) => pattern.test(module))?.[1]
}
