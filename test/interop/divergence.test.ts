import { copyFile, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { finish } from '../../src/progress/index.js'
import { type VerifyReport, verify } from '../../src/verify/index.js'
import { foreign } from '../support/foreign.js'
import { llama, sampleModels, samplePath } from '../support/sample-models.js'

const skipped = !foreign.available || !llama.available
const chunks = 3

/** A figure, its error where it has one, and the unit of the last digit that is printed. */
type Printed = readonly [value: number, error: number | undefined, unit: number]

describe.skipIf(skipped)(`llama-perplexity --kl-divergence (${foreign.available ? llama.name : foreign.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: string
  let against: string
  let text: string
  const at = (name: string): string => join(models.folder, name)

  beforeAll(async () => {
    models = await sampleModels()
    text = at('text.txt')
    await copyFile(samplePath('text/kjv-heldout.txt'), text)
    model = await models.make('llama-kjv', 'Q8_0')
    against = await models.make('llama-kjv', 'F16')
  })
  afterAll(() => models[Symbol.asyncDispose]())

  async function llamaPerplexity(path: string, ...args: string[]): Promise<string> {
    const all = ['--model', basename(path), '--file', 'text.txt', '--threads', '1', '--chunks', `${chunks}`, ...args]
    const { stdout, stderr } = await foreign.run('llama-perplexity', all, { cwd: models.folder, timeout: 240_000 })
    return `${stdout}\n${stderr}`
  }

  /** What llama-perplexity says of the model against a file of base logits: its 0.7.0 ends now and then before its last words are out. */
  async function theirFigures(base: string): Promise<ReadonlyMap<string, Printed>> {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const output = await llamaPerplexity(model, '--kl-divergence', '--kl-divergence-base', base)
      const figures = new Map<string, Printed>()
      for (const line of output.split('\n')) {
        const [, name, value, error] = /^\s*(\S.*?)\s*:\s+(-?[\d.]+)\s*(?:±\s*([\d.]+))?\s*%?$/.exec(line) ?? []
        if (name === undefined || value === undefined) continue
        const unit = 10 ** -(value.split('.')[1] ?? '').length
        figures.set(name.replaceAll(/\s+/g, ' '), [Number(value), error === undefined ? undefined : Number(error), unit])
      }
      if (figures.has('Same top p')) return figures
    }
    throw new Error('llama-perplexity does not answer')
  }

  /** @param slack how much of a figure may be another, where the logits are not the same. */
  function compare(report: VerifyReport, theirs: ReadonlyMap<string, Printed>, slack: number): void {
    const { kld, probabilityChange: change, sameTop, correlation } = report.divergence ?? expect.fail('no divergence')
    const percent = ({ value, standardError }: typeof sameTop) => ({ value: 100 * value, standardError: 100 * standardError })
    const plain = (value: number) => ({ value, standardError: undefined })
    const quantiles = (spread: typeof kld, name: string, factor: number) =>
      Object.entries(spread.quantiles).map(
        ([part, value]) => [`${Number(part).toFixed(1)}% ${name}`, plain(factor * value)] as const,
      )
    const ours = new Map<string, { readonly value: number; readonly standardError: number | undefined }>([
      ['Mean PPL(Q)', report.perplexity],
      ['Mean PPL(base)', report.reference.perplexity],
      ['Mean PPL(Q)/PPL(base)', report.perplexityRatio],
      ['Cor(ln(PPL(Q)), ln(PPL(base)))', plain(100 * correlation)],
      ['Mean KLD', kld.mean],
      ['Maximum KLD', plain(kld.maximum)],
      ['Median KLD', plain(kld.median)],
      ['Minimum KLD', plain(kld.minimum)],
      ...quantiles(kld, 'KLD', 1),
      ['Mean Δp', percent(change.mean)],
      ['RMS Δp', percent(change.rootMeanSquare)],
      ['Maximum Δp', plain(100 * change.maximum)],
      ['Median Δp', plain(100 * change.median)],
      ['Minimum Δp', plain(100 * change.minimum)],
      ...quantiles(change, 'Δp', 100),
      ['Same top p', percent(sameTop)],
    ])
    // nothing of theirs is left out but the logarithm of a ratio that is there, and the difference of its two parts
    const told = [...theirs.keys()].filter((name) => /PPL|KLD|Δp|same top/i.test(name) && !ours.has(name))
    expect(told.sort()).toEqual(['Mean PPL(Q)-PPL(base)', 'Mean ln(PPL(Q)/PPL(base))'])
    for (const [name, { value, standardError }] of ours) {
      const [theirValue, theirError, unit] = theirs.get(name) ?? expect.fail(`${name} is not printed`)
      expect(Math.abs(value - theirValue), name).toBeLessThan(0.51 * unit + slack * Math.abs(theirValue) + 10 * slack * unit)
      if (theirError !== undefined && standardError !== undefined) {
        expect(Math.abs(standardError - theirError), `error of ${name}`).toBeLessThan(0.51 * unit + slack * theirError)
      }
    }
  }

  test('its base logits are read, ours are read by it, and every figure is its own to the printed digit', async () => {
    await llamaPerplexity(against, '--kl-divergence-base', 'theirs.logits')
    const saved = await finish(verify({ model, against, saveLogits: at('ours.logits'), text, chunks }))
    const [ours, theirs] = [await readFile(at('ours.logits')), await readFile(at('theirs.logits'))]
    expect(ours).toHaveLength(theirs.length)
    const tokens = 20 + 4 * 512 * chunks
    expect(ours.subarray(0, tokens).equals(theirs.subarray(0, tokens))).toBe(true)
    // another processor or version of ggml may sum in another order: then the logits are not the same, and neither are the figures
    const slack = ours.equals(theirs) ? 0 : 0.01

    const figures = await theirFigures('theirs.logits')
    compare(await finish(verify({ model, againstLogits: at('theirs.logits'), text })), figures, slack)
    const readBack = await finish(verify({ model, againstLogits: at('ours.logits'), text }))
    compare(readBack, await theirFigures('ours.logits'), slack)
    expect(readBack.divergence).toEqual(saved.divergence)
  })
})
