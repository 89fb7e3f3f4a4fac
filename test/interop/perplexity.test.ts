import { copyFile, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { finish } from '../../src/progress/index.js'
import { parseEstimate } from '../../src/runner/external-output.js'
import { loadModel } from '../../src/runner/index.js'
import { foreign } from '../support/foreign.js'
import { llama, sampleModels, samplePath } from '../support/sample-models.js'

const skipped = !foreign.available || !llama.available

describe.skipIf(skipped)(`llama-perplexity and its kin (${foreign.available ? llama.name : foreign.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let text: string

  beforeAll(async () => {
    models = await sampleModels()
    await copyFile(samplePath('text/kjv-heldout.txt'), join(models.folder, 'text.txt'))
    text = await readFile(join(models.folder, 'text.txt'), 'utf8')
  })
  afterAll(() => models[Symbol.asyncDispose]())

  const run = async (program: string, model: string, ...args: string[]): Promise<string> => {
    const { stdout, stderr } = await foreign.run(program, ['--model', model, ...args], { cwd: models.folder, timeout: 240_000 })
    return `${stdout}\n${stderr}`
  }

  /** llama-perplexity 0.7.0 ends now and then before the end of its log is written out: then it is asked again. */
  async function ask<Answer>(read: (output: string) => Answer | undefined, model: string, ...args: string[]): Promise<Answer> {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const answer = read(await run('llama-perplexity', model, '--threads', '1', '--chunks', '8', ...args))
      if (answer !== undefined) return answer
    }
    throw new Error('llama-perplexity does not answer')
  }

  /** Digits that agree: another version of ggml may sum BF16 products in another order. */
  it.each([
    ['llama-kjv', 'F16', 3],
    ['llama-kjv', 'Q8_0', 3],
    ['llama-kjv', 'BF16', 2],
    ['deepseek-kjv-moe', 'F16', 3],
    ['deepseek-kjv-moe', 'Q8_0', 3],
    ['deepseek-kjv-moe', 'BF16', 2],
  ] as const)('%s at %s has the perplexity that llama-perplexity prints', async (sample, type, digits) => {
    const path = await models.make(sample, type)
    // without --no-repack it ends in an assertion on processors with AMX: see src/runner/extra-buffers.ts
    const repack = sample === 'deepseek-kjv-moe' ? ['--no-repack'] : []
    const theirs = await ask((output) => parseEstimate(output.split('\n')), basename(path), '--file', 'text.txt', ...repack)
    await using model = await loadModel(path)
    const ours = await finish(model.perplexity(text, { chunks: 8 }))
    expect(ours.perplexity).toBeCloseTo(theirs.perplexity, digits)
    expect(ours.standardError).toBeCloseTo(theirs.standardError ?? ours.standardError, digits)
  })

  it('reads texts into the tokens of llama-tokenize', async () => {
    const path = await models.make('llama-kjv', 'Q8_0')
    await using model = await loadModel(path)
    const sentence = 'In the beginning <|eot_id|> God — «created» 天地 🙂'
    for (const [flags, special, parseSpecial] of [
      [[], true, true],
      [['--no-parse-special', '--no-bos'], false, false],
    ] as const) {
      const output = await run('llama-tokenize', basename(path), '--prompt', sentence, '--ids', '--log-disable', ...flags)
      expect([...(await model.tokenize(sentence, { special, parseSpecial }))]).toEqual(
        JSON.parse(output.match(/\[.*\]/)?.[0] ?? ''),
      )
    }
  })
})
