import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ChatOptions, chat } from '../../../src/chat/index.js'
import { messageReader } from '../../../src/chat/messages.js'
import { type LlamaModel, loadModel } from '../../../src/runner/index.js'
import { llama, sampleModels } from '../../support/sample-models.js'

describe('messageReader', () => {
  const read = (lines: readonly string[]): string[] => {
    const reader = messageReader()
    return lines.flatMap((line) => reader.push(line) ?? [])
  }
  it.each([
    [
      ['one', 'two'],
      ['one', 'two'],
    ],
    [['one\\', 'two'], ['one\ntwo']],
    [
      ['"""one', 'two"""', 'three'],
      ['one\ntwo', 'three'],
    ],
    [['"""one"""'], ['one']],
    [['"""', 'a', '', 'b', '"""'], ['a\n\nb']],
  ])('%j are the messages %j', (lines, messages) => {
    expect(read(lines)).toEqual(messages)
  })
})

describe.skipIf(!llama.available)(`chat (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: LlamaModel

  beforeAll(async () => {
    models = await sampleModels()
    model = await loadModel(await models.make('llama-kjv', 'F16'), { contextLength: 128 })
  })
  afterAll(async () => {
    await model.close()
    await models[Symbol.asyncDispose]()
  })

  async function talk(lines: readonly string[], options: Partial<ChatOptions> = {}) {
    const input = new PassThrough()
    const output = new PassThrough()
    const said = text(output)
    const running = chat(model, { input, output, terminal: false, sampling: { temperature: 0 }, maxTokens: 12, ...options })
    input.end(`${lines.join('\n')}\n`)
    const summary = await running
    output.end()
    return { ...summary, said: await said }
  }

  it('answers with the conversation as the prompt', async () => {
    const first = await talk(['Who art thou?'])
    const { said, answers } = await talk(['Who art thou?', 'And who am I?', '/exit', 'not asked'])
    expect(answers).toBe(2)
    expect(said.startsWith(first.said)).toBe(true)
    const answer = first.said.trimEnd()
    const messages = [
      { role: 'user', content: 'Who art thou?' },
      { role: 'assistant', content: answer },
      { role: 'user', content: 'And who am I?' },
    ]
    let expected = ''
    for await (const piece of model.generate({ messages, temperature: 0, maxTokens: 12 })) expected += piece
    expect(said.slice(first.said.length).trimEnd()).toBe(expected.trimEnd())
  })

  it('knows commands: system prompt, retry, undo, set', async () => {
    const { said, answers } = await talk([
      '/system',
      '/system Speak of kings.',
      '/system',
      '/retry',
      'Who?',
      '/retry',
      '/undo',
      '/undo',
      '/set top-p 7',
      '/set seed 3',
      '/nothing',
    ])
    expect(answers).toBe(2)
    const lines = said.split('\n')
    expect(lines.slice(0, 4)).toEqual([
      'There is no system prompt.',
      'The system prompt is set.',
      'Speak of kings.',
      'There is no question yet.',
    ])
    expect(lines.slice(-6)).toEqual([
      'The last question is taken back.',
      'There is no question yet.',
      'top-p is a number from 0 to 1, not 7.',
      'seed 3',
      'There is no command /nothing; /help lists them.',
      '',
    ])
  })

  it('forgets the first questions where the context is full', async () => {
    const { said, answers } = await talk(['a king '.repeat(25), 'a queen '.repeat(25), 'who? '.repeat(200)])
    expect(answers).toBe(2)
    expect(said).toContain('The first question is forgotten')
    expect(said).toMatch(/The prompt has \d+ tokens, but the context length is 128\. It was not asked\./)
  })

  it('stops an answer on Ctrl-C and goes on', async () => {
    const input = new PassThrough()
    const output = new PassThrough()
    let said = ''
    let interrupt = (): void => {}
    output.on('data', (chunk: Buffer) => {
      if (said === '') {
        interrupt()
        input.write('/system\n')
      }
      said += chunk.toString()
      if (chunk.toString() === 'There is no system prompt.\n') interrupt()
      if (chunk.toString().includes('leaves')) input.end('/exit\n')
    })
    const sampling = { temperature: 1, seed: 2 }
    const running = chat(model, {
      input,
      output,
      terminal: false,
      sampling,
      onInterrupt: (handle) => {
        interrupt = handle
      },
    })
    input.write('Who art thou?\n')
    expect(await running).toEqual({ answers: 1, tokens: 0 })
    expect(said).toContain('\nCtrl-D or /exit leaves.\n')
  })
})
