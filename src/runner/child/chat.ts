import { Template } from '@huggingface/jinja'
import { MqError } from '../../errors/index.js'
import type { ChatMessage } from '../protocol.js'
import type { LoadedModel } from './model.js'

/**
 * The prompt that the model's own chat template makes of messages, ready for the assistant's answer.
 * @throws MqError CHAT_TEMPLATE_INVALID where there is none, or it fails.
 */
export function renderChat({ info, options }: LoadedModel, messages: readonly ChatMessage[]): string {
  const { chatTemplate, bosToken, eosToken } = info
  const fail = (problem: string, cause?: unknown): never => {
    throw MqError.of('CHAT_TEMPLATE_INVALID', { file: options.path, problem }, { cause })
  }
  if (chatTemplate === undefined) return fail('there is none')
  try {
    return new Template(chatTemplate).render({
      messages,
      add_generation_prompt: true,
      bos_token: bosToken,
      eos_token: eosToken,
    })
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), error)
  }
}
