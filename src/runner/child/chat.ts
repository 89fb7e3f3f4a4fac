import { Template } from '@huggingface/jinja'
import { MqError } from '../../errors/index.js'
import type { ChatMessage } from '../protocol.js'
import type { LoadedModel } from './model.js'

/**
 * Renders messages with the model's own chat template into a prompt that ends where the assistant's answer begins.
 * @throws MqError CHAT_TEMPLATE_INVALID where there is none, or it fails.
 */
export function renderChat({ info, options }: LoadedModel, messages: readonly ChatMessage[]): string {
  const { chatTemplate, bosToken, eosToken } = info
  const fail = (problem: string, cause?: unknown): never => {
    throw MqError.of('CHAT_TEMPLATE_INVALID', { file: options.path, problem }, { cause })
  }
  if (chatTemplate === undefined) return fail('there is none')
  const render = (messages: readonly ChatMessage[]): string => {
    try {
      return template(chatTemplate).render({ messages, add_generation_prompt: true, bos_token: bosToken, eos_token: eosToken })
    } catch (error) {
      return fail(error instanceof Error ? error.message : String(error), error)
    }
  }
  const text = render(messages)
  const last = messages.findLast(({ role }) => role === 'user')
  const content = last?.content.trim() ?? ''
  if (content !== '' && !text.includes(content)) {
    // It may say it otherwise, such as with quotes escaped; where another message makes no difference, it says nothing of it.
    const other = messages.map((message) => (message === last ? { ...message, content: marker } : message))
    if (render(other) === text) return fail('it leaves out the last message of the user')
  }
  return text
}

const marker = 'another message'
const templates = new Map<string, Template>()

/** Parses a template, once for each source. */
function template(source: string): Template {
  const parsed = templates.get(source) ?? new Template(source)
  templates.set(source, parsed)
  return parsed
}
