import type { Sampling } from '../runner/index.js'
import type { Conversation } from './conversation.js'

/** What a line that begins with `/` does: says something, asks a question again, or ends the chat. */
export type CommandOutcome =
  | { readonly kind: 'say'; readonly text: string }
  | { readonly kind: 'ask'; readonly question: string }
  | { readonly kind: 'exit' }

const help = `/help            this list
/clear           forget the conversation, but not the system prompt
/system [TEXT]   show the system prompt, or set it; /system "" removes it
/retry           answer the last question again
/undo            take back the last question and its answer
/set [NAME N]    show the sampling parameters, or set one of: temperature, top-k, top-p, min-p, repeat-penalty, seed
/exit            leave; also Ctrl-D
A line that ends with \\ goes on in the next one; """ begins and ends a message of several lines. Ctrl-C stops an answer.`

/** Parameters that /set knows, with the numbers that each can be. */
const parameters: Readonly<Record<string, readonly [key: keyof Sampling, least: number, most: number, whole: boolean]>> = {
  temperature: ['temperature', 0, 100, false],
  'top-k': ['topK', 0, 2 ** 31 - 1, true],
  'top-p': ['topP', 0, 1, false],
  'min-p': ['minP', 0, 1, false],
  'repeat-penalty': ['repeatPenalty', 0.01, 100, false],
  seed: ['seed', 0, 2 ** 32 - 2, true],
}

/** Does what a line asks for. @param sampling changed by /set. */
export function runCommand(line: string, conversation: Conversation, sampling: Partial<Sampling>): CommandOutcome {
  const [, name = '', rest = ''] = /^\/(\S*)\s*([^]*)$/.exec(line) ?? []
  const say = (text: string): CommandOutcome => ({ kind: 'say', text })
  switch (name) {
    case 'help':
    case '?':
      return say(help)
    case 'exit':
    case 'quit':
    case 'bye':
      return { kind: 'exit' }
    case 'clear':
    case 'new':
      conversation.clear()
      return say('The conversation is forgotten.')
    case 'system':
      if (rest === '') return say(conversation.system ?? 'There is no system prompt.')
      conversation.system = rest === '""' ? undefined : rest
      return say(conversation.system === undefined ? 'There is no system prompt now.' : 'The system prompt is set.')
    case 'undo':
      return say(conversation.undo() === undefined ? 'There is no question yet.' : 'The last question is taken back.')
    case 'retry': {
      const question = conversation.undo()
      return question === undefined ? say('There is no question yet.') : { kind: 'ask', question }
    }
    case 'set':
      return say(setParameter(rest, sampling))
    default:
      return say(`There is no command /${name}; /help lists them.`)
  }
}

function setParameter(text: string, sampling: Partial<Sampling>): string {
  const [name = '', value] = text.trim().split(/\s+/)
  if (name === '') {
    return Object.entries(parameters)
      .map(([known, [key]]) => `${known} ${String(sampling[key] ?? 'random')}`)
      .join('\n')
  }
  const parameter = parameters[name]
  if (parameter === undefined) return `There is no parameter ${name}: it is ${Object.keys(parameters).join(', ')}.`
  const [key, least, most, whole] = parameter
  const number = value === undefined || value === '' ? Number.NaN : Number(value)
  if (!(number >= least && number <= most) || (whole && !Number.isInteger(number))) {
    return `${name} is a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not ${value ?? 'nothing'}.`
  }
  Object.assign(sampling, { [key]: number })
  return `${name} ${number}`
}
