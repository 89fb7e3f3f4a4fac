import type { MetadataValue } from '../gguf/types.js'
import { asArray, asObject, asText } from './json.js'
import type { TokenizerEntry, TokenizerFiles } from './types.js'

/** The chat templates of a checkpoint. */
export interface ChatTemplates {
  readonly entries: readonly TokenizerEntry[]
  /** Says which was taken, where several files hold different ones. */
  readonly notes: readonly string[]
  /** The texts of all that were taken. */
  readonly text: string
}

/**
 * Metadata of the chat templates: tokenizer_config.json wins over chat_template.jinja, and that over chat_template.json, as in llama.cpp's
 * converter.
 */
export function chatTemplates(files: TokenizerFiles): ChatTemplates {
  const sources = [
    { file: 'tokenizer_config.json', template: asObject(files.config)?.['chat_template'] },
    { file: 'chat_template.jinja', template: jinjaTemplates(files) },
    { file: 'chat_template.json', template: asObject(files.chatTemplateJson)?.['chat_template'] },
  ].filter(({ template }) => !isBlank(template))
  const isUsable = (template: unknown): boolean =>
    typeof template === 'string' || (named(template)?.some((one) => asText(asObject(one)?.['template']) !== undefined) ?? false)
  const unusable = sources.filter(({ template }) => !isUsable(template))
  const [taken, ...others] = sources.filter(({ template }) => isUsable(template))
  const different = others.filter(({ template }) => JSON.stringify(template) !== JSON.stringify(taken?.template))
  const entries = entriesOf(taken?.template)
  return {
    entries,
    notes: [
      ...unusable.map(({ file }) => `The chat_template of ${file} is neither a text nor templates by name, and is left out.`),
      ...(taken === undefined || different.length === 0
        ? []
        : [
            `The chat template is that of ${taken.file}; ${different.map(({ file }) => file).join(' and ')} ${different.length === 1 ? 'holds another' : 'hold others'}, which is not used.`,
          ]),
    ],
    text: entries.map(([, { value }]) => (typeof value === 'string' ? value : '')).join('\n'),
  }
}

/** chat_template.jinja; a list by name where templates stand beside it. */
function jinjaTemplates({ chatTemplate, additionalTemplates = new Map() }: TokenizerFiles): unknown {
  if (isBlank(chatTemplate) || additionalTemplates.size === 0) return chatTemplate
  return [['default', chatTemplate], ...additionalTemplates].map(([name, template]) => ({ name, template }))
}

function isBlank(template: unknown): boolean {
  return template === undefined || template === null || template === ''
}

/** Templates by name: a list of names and templates, or an object. Undefined for all else. */
function named(template: unknown): readonly unknown[] | undefined {
  const list = asArray(template)
  if (list !== undefined) return list
  const object = asObject(template)
  return object && Object.entries(object).map(([name, text]) => ({ name, template: text }))
}

function entriesOf(template: unknown): TokenizerEntry[] {
  const text = (value: string): MetadataValue => ({ type: 'string', value })
  if (typeof template === 'string') return [['tokenizer.chat_template', text(template)]]
  const all = (named(template) ?? []).flatMap((entry) => {
    // The name becomes part of a key.
    const name = asText(asObject(entry)?.['name'])?.replaceAll(/[^A-Za-z0-9]/g, '_')
    const content = asText(asObject(entry)?.['template'])
    return name === undefined || name === '' || content === undefined ? [] : [{ name, content }]
  })
  const others = new Map(all.filter(({ name }) => name !== 'default').map(({ name, content }) => [name, content]))
  const byDefault = all.findLast(({ name }) => name === 'default')
  const entries: TokenizerEntry[] = [...others].map(([name, content]) => [`tokenizer.chat_template.${name}`, text(content)])
  if (others.size > 0)
    entries.push(['tokenizer.chat_templates', { type: 'array', elementType: 'string', value: [...others.keys()] }])
  if (byDefault !== undefined) entries.push(['tokenizer.chat_template', text(byDefault.content)])
  return entries
}
