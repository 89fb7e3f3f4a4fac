import * as v from 'valibot'
import type { MetadataValue } from '../../../formats/gguf/types.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { configError, finite, positive, size } from './config.js'
import { float32, text, uint32 } from './metadata.js'

const scaling = v.object({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: v.nullish(positive),
  factor: v.nullish(positive),
  original_max_position_embeddings: v.nullish(size),
  low_freq_factor: v.nullish(positive),
  high_freq_factor: v.nullish(positive),
  extrapolation_factor: v.nullish(finite),
  attention_factor: v.nullish(finite),
  attn_factor: v.nullish(finite),
  beta_fast: v.nullish(finite),
  beta_slow: v.nullish(finite),
  mscale_all_dim: v.nullish(finite),
})

/** The fields of config.json that say how positions turn into rotations. */
export const ropeFields = {
  max_position_embeddings: v.nullish(size),
  rope_theta: v.nullish(positive),
  rope_scaling: v.nullish(scaling),
  rope_parameters: v.nullish(scaling),
}

type RopeConfig = v.InferOutput<v.ObjectSchema<typeof ropeFields, undefined>>

/** The same in one form, whichever way the checkpoint writes it. */
export interface Rope extends v.InferOutput<typeof scaling> {
  /** `default`, `linear`, `dynamic`, `yarn`, `llama3`, `longrope` ... */
  readonly kind: string
  readonly theta: number
}

/** Reads rope_parameters (transformers 5) or rope_scaling with rope_theta (before). */
export function readRope(config: RopeConfig): Rope {
  const parameters = config.rope_parameters ?? config.rope_scaling ?? {}
  return {
    ...parameters,
    kind: (parameters.rope_type ?? parameters.type ?? 'default').toLowerCase(),
    theta: parameters.rope_theta ?? config.rope_theta ?? 10_000,
  }
}

/**
 * The keys under `{arch}.rope.` that every architecture writes alike.
 * @param notes receives a sentence where the file cannot say what config.json says.
 * @throws MqError CONFIG_INVALID.
 */
export function ropeKeys(rope: Rope, checkpoint: Checkpoint, notes: string[]): [string, MetadataValue][] {
  const required = <Field extends keyof Rope>(field: Field): NonNullable<Rope[Field]> => {
    const value = rope[field]
    if (value === undefined || value === null) throw configError(checkpoint, `rope_scaling of type ${rope.kind} lacks ${field}`)
    return value
  }
  const optional = (key: string, value: number | null | undefined): [string, MetadataValue][] =>
    value === undefined || value === null ? [] : [[key, float32(value)]]
  const base: [string, MetadataValue] = ['rope.freq_base', float32(rope.theta)]
  switch (rope.kind) {
    case 'default':
      return [base]
    case 'llama3':
      // The tensor of factors says the rest.
      if ((rope.low_freq_factor ?? 1) >= (rope.high_freq_factor ?? 4)) {
        throw configError(checkpoint, 'rope_scaling has a low_freq_factor that is not below its high_freq_factor')
      }
      return [base]
    case 'linear':
      return [['rope.scaling.type', text('linear')], ['rope.scaling.factor', float32(required('factor'))], base]
    case 'yarn':
      return [
        ['rope.scaling.type', text('yarn')],
        ['rope.scaling.factor', float32(required('factor'))],
        ['rope.scaling.original_context_length', uint32(required('original_max_position_embeddings'))],
        ...optional('rope.scaling.yarn_ext_factor', rope.extrapolation_factor),
        ...optional('rope.scaling.yarn_attn_factor', rope.attention_factor ?? rope.attn_factor),
        ...optional('rope.scaling.yarn_beta_fast', rope.beta_fast),
        ...optional('rope.scaling.yarn_beta_slow', rope.beta_slow),
        base,
      ]
    case 'dynamic':
      notes.push('Dynamic rope scaling has no counterpart in GGUF: the model works within its trained context alone.')
      return [base]
    default:
      throw configError(checkpoint, `rope_scaling has the type ${rope.kind}, which this architecture does not have`)
  }
}

/**
 * Llama 3's division of each frequency: 1 for short waves, `factor` for long ones, smooth between. Computed in f32 step by step as
 * llama.cpp's converter does in torch, where a number divided by a tensor is the tensor's reciprocal times the number: so the values
 * agree to the last bit, but where torch's pow is not the nearest f32.
 * @returns headLength / 2 values.
 */
export function llama3Factors(rope: Rope, headLength: number): number[] {
  const f32 = Math.fround
  const reciprocal = (value: number): number => f32(1 / value)
  const factor = f32(rope.factor ?? 8)
  const low = rope.low_freq_factor ?? 1
  const high = rope.high_freq_factor ?? 4
  const context = rope.original_max_position_embeddings ?? 8192
  return Array.from({ length: headLength / 2 }, (_, index) => {
    const frequency = reciprocal(f32(f32(rope.theta) ** f32((2 * index) / headLength)))
    const wavelength = f32(reciprocal(frequency) * f32(2 * Math.PI))
    if (wavelength < f32(context / high)) return 1
    if (wavelength > f32(context / low)) return factor
    const smooth = f32(f32(f32(reciprocal(wavelength) * context) - f32(low)) / f32(high - low))
    return reciprocal(f32(f32(f32(1 - smooth) / factor) + smooth))
  })
}
