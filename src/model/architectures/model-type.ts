import type { Fields } from './config.js'
import { families, familyOfClass } from './find-family.js'
import type { Family } from './types.js'

/** What stands behind a model's name in the names of classes: `LlamaForCausalLM`, `Gemma3TextModel`. */
const suffix = /(?:For[A-Z]\w*|LMHeadModel|TextModel|EncoderModel|Model)$/

/** What class and type of a model have in common: `qwen2moe` of Qwen2MoeForCausalLM and qwen2_moe. */
const stemOf = (name: string): string => name.replace(suffix, '').replaceAll(/[_.-]/g, '').toLowerCase()

const classesByStem = new Map(families.flatMap(({ classes }) => classes.map((name) => [stemOf(name), name] as const)))

/**
 * A note where the `model_type` of a config.json is that of another family than its class: transformers' AutoModel goes by the type, and
 * llama.cpp's converter, as mq, by the class. Undefined where both are one family, where the type is none that is known, and where the
 * model comes with code of its own (`auto_map`), whose type may be any.
 */
export function modelTypeNote(fields: Fields, className: string, family: Family): string | undefined {
  const { model_type: type, auto_map: ownCode } = fields
  if (typeof type !== 'string' || (ownCode !== undefined && ownCode !== null)) return undefined
  const stem = stemOf(type)
  const typed = classesByStem.get(stem)
  const other = typed === undefined ? undefined : familyOfClass(typed, fields)
  if (other === undefined || stem === stemOf(className) || other.architecture === family.architecture) return undefined
  return `config.json has the class ${className} in architectures, and the model_type ${type}, by which transformers' AutoModel loads another class: the model is converted as ${className}.`
}
