import type { MetadataValue } from '../gguf/types.js'
import { asArray, asObject, asText } from './json.js'

/** Where a checkpoint may keep its chat templates. */
export interface TemplateSources {
  /** `chat_template` of tokenizer_config.json: a text, or a list of named ones. */
  readonly config: unknown
  /** chat_template.jinja. */
  readonly jinja?: string | undefined
  /** `chat_template` of chat_template.json. */
  readonly json?: unknown
}

/** Metadata entries of the chat templates: tokenizer_config.json wins over chat_template.jinja, and that over chat_template.json. */
export function chatTemplateEntries({ config, jinja, json }: TemplateSources): [string, MetadataValue][] {
  const template = config ?? jinja ?? json
  if (typeof template === 'string') return [['tokenizer.chat_template', { type: 'string', value: template }]]
  const named = (asArray(template) ?? []).flatMap((entry) => {
    // The name becomes part of a key.
    const name = asText(asObject(entry)?.['name'])?.replaceAll(/[^A-Za-z0-9]/g, '_')
    const text = asText(asObject(entry)?.['template'])
    return name === undefined || name === '' || text === undefined ? [] : [{ name, text }]
  })
  const others = new Map(named.filter(({ name }) => name !== 'default').map(({ name, text }) => [name, text]))
  const byDefault = named.findLast(({ name }) => name === 'default')
  return [
    ...[...others].map(([name, value]): [string, MetadataValue] => [
      `tokenizer.chat_template.${name}`,
      { type: 'string', value },
    ]),
    ...(others.size === 0
      ? []
      : [
          ['tokenizer.chat_templates', { type: 'array', elementType: 'string', value: [...others.keys()] }] as [
            string,
            MetadataValue,
          ],
        ]),
    ...(byDefault === undefined
      ? []
      : [['tokenizer.chat_template', { type: 'string', value: byDefault.text }] as [string, MetadataValue]]),
  ]
}
