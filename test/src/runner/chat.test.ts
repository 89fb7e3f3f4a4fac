import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadModel } from '../../../src/runner/index.js'
import { llama, sampleModels } from '../../support/sample-models.js'

const template = (value: string) => ({ 'tokenizer.chat_template': { type: 'string', value } }) as const

describe.skipIf(!llama.available)(`chat templates (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>

  beforeAll(async () => {
    models = await sampleModels()
  })
  afterAll(() => models[Symbol.asyncDispose]())

  /** What the template in samples/NAME/tokenizer_config.json says, read by hand. */
  it.each([
    [
      'llama-kjv',
      '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    ],
    ['deepseek-kjv-moe', '<｜begin▁of▁sentence｜><｜User｜>Who?<｜Assistant｜>'],
  ] as const)('%s puts messages into its own, with one BOS', async (sample, expected) => {
    await using model = await loadModel(await models.make(sample, 'Q8_0'))
    const rendered = await model.renderChat([{ role: 'user', content: sample.startsWith('llama') ? ' Who? ' : 'Who?' }])
    expect(rendered).toBe(expected)

    const tokens = await model.tokenize(rendered, { parseSpecial: true })
    const [bos] = await model.tokenize(model.info.bosToken, { parseSpecial: true })
    expect([...tokens].filter((token) => token === bos)).toHaveLength(1)
    const pieces = model.generate({ prompt: 'Who?', maxTokens: 1 })
    let step = await pieces.next()
    while (step.done !== true) step = await pieces.next()
    expect(step.value.promptTokens).toBe(tokens.length)
  })

  it('sends the prompt as it is where the model has none', async () => {
    await using model = await loadModel(await models.make('llama-kjv', 'Q8_0', { 'tokenizer.chat_template': undefined }))
    expect(model.info.chatTemplate).toBeUndefined()
    const pieces = model.generate({ prompt: 'In the beginning', maxTokens: 1 })
    let step = await pieces.next()
    while (step.done !== true) step = await pieces.next()
    // `llama-tokenize -p 'In the beginning' --ids`: [2043, 1270, 258, 1946, 1316]
    expect(step.value.promptTokens).toBe(5)
    await expect(model.renderChat([])).rejects.toMatchObject({ code: 'CHAT_TEMPLATE_INVALID' })
  })

  it.each([
    ['does not parse', '{% for %}', /./],
    ['raises', "{{ raise_exception('roles must alternate') }}", /roles must alternate/],
    ['calls what is not there', '{{ nothing() }}', /./],
    ['leaves out the prompt', 'You are helpful.{{ bos_token }}', /leaves out the last message/],
    ['never ends', '{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}', /5 seconds/],
  ])('says so where the template %s', async (_, source, problem) => {
    await using model = await loadModel(await models.make('llama-kjv', 'Q8_0', template(source)))
    await expect(model.generate({ prompt: 'Who?' }).next()).rejects.toMatchObject({
      code: 'CHAT_TEMPLATE_INVALID',
      message: expect.stringMatching(problem),
    })
  })
})
