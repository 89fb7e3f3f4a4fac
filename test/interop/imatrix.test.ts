import { copyFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileSource } from '../../formats/byte-source.js'
import { type ImportanceMatrix, readImportanceMatrix } from '../../formats/imatrix/index.js'
import { makeImatrix, mergeMatrices } from '../../src/calibration/index.js'
import { finish } from '../../src/progress/index.js'
import { asGguf } from '../../src/quantize/as-gguf.js'
import { foreign } from '../support/foreign.js'
import { llama, sampleModels, samplePath } from '../support/sample-models.js'

const skipped = !foreign.available || !llama.available

describe.skipIf(skipped)(`llama-imatrix (${foreign.available ? llama.name : foreign.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  const at = (name: string): string => join(models.folder, name)

  beforeAll(async () => {
    models = await sampleModels()
    await copyFile(samplePath('text/kjv-calibration.txt'), at('text.txt'))
  })
  afterAll(() => models[Symbol.asyncDispose]())

  async function read(name: string): Promise<ImportanceMatrix> {
    const source = await fileSource(at(name))
    try {
      return await readImportanceMatrix(source)
    } finally {
      await source.close()
    }
  }

  test.each(['llama-kjv', 'deepseek-kjv-moe'] as const)('%s: sums are its own within rounding', async (sample) => {
    const model = await models.make(sample, 'F16')
    // without --no-repack it ends in an assertion on processors with AMX: see src/runner/file-traits.ts
    const args = [
      '--chunks',
      '4',
      '--no-ppl',
      '--no-repack',
      '--process-output',
      '--threads',
      '1',
      '--output-file',
      'theirs.gguf',
    ]
    const all = ['--model', basename(model), '--file', 'text.txt', ...args]
    await foreign.run('llama-imatrix', all, { cwd: models.folder, timeout: 240_000 })
    const options = { model, text: at('text.txt'), output: at('ours.gguf'), chunks: 4, processOutput: true, force: true }
    await finish(makeImatrix({ toGguf: asGguf, ...options }))

    const [ours, theirs] = [await read('ours.gguf'), await read('theirs.gguf')]
    expect(ours.datasets).toEqual(theirs.datasets)
    expect([...ours.entries.keys()].sort()).toEqual([...theirs.entries.keys()].sort())
    for (const [name, entry] of theirs.entries) {
      const own = ours.entries.get(name) ?? expect.fail(name)
      expect(own.meanSquares, name).toHaveLength(entry.meanSquares.length)
      // a token between two experts may go either way, for versions of ggml round differently
      const routed = entry.counts.length > 1
      const seen = entry.counts.reduce((sum, count) => sum + count, 0)
      expect(
        own.counts.reduce((sum, count) => sum + count, 0),
        name,
      ).toBe(seen)
      for (const [matrix, count] of entry.counts.entries()) {
        expect(Math.abs((own.counts[matrix] ?? 0) - count), name).toBeLessThanOrEqual(routed ? 3 : 0)
      }
      const difference = own.meanSquares.map((value, index) => Math.abs(value - (entry.meanSquares[index] ?? 0)))
      const largest = Math.max(...entry.meanSquares)
      expect(Math.max(...difference) / largest, name).toBeLessThan(routed ? 2e-2 : 1e-3)
      const total = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0)
      expect(total(own.meanSquares) / total(entry.meanSquares), name).toBeCloseTo(1, routed ? 3 : 4)
    }

    const files = ['--in-file', 'ours.gguf', '--in-file', 'theirs.gguf', '--output-file', 'added.gguf']
    const inputs = ['--model', basename(model), ...files]
    await foreign.run('llama-imatrix', inputs, {
      cwd: models.folder,
    })
    // covariances stand in the file, too, and other programs pass them over
    const named = ['--imatrix', 'ours.gguf', basename(model), 'quantized.gguf', 'Q2_K']
    const { stdout, stderr } = await foreign.run('llama-quantize', named, { cwd: models.folder })
    expect(`${stdout}${stderr}`).toContain(`loaded ${ours.entries.size} importance matrix entries`)
    await mergeMatrices([at('ours.gguf'), at('theirs.gguf')], at('merged.gguf'), { force: true })
    const [merged, added] = [await read('merged.gguf'), await read('added.gguf')]
    expect([...merged.entries.keys()].sort()).toEqual([...added.entries.keys()].sort())
    for (const [name, { meanSquares, counts }] of added.entries) {
      const own = merged.entries.get(name) ?? expect.fail(name)
      expect(own.counts, name).toEqual(counts)
      const apart = own.meanSquares.map((value, index) => Math.abs(value - (meanSquares[index] ?? 0)))
      expect(Math.max(...apart) / Math.max(...meanSquares), name).toBeLessThan(1e-6)
    }
  })
})
