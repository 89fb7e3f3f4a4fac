import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileSource } from '../../../formats/byte-source.js'
import { openGguf } from '../../../formats/gguf/index.js'
import { type ImportanceMatrix, readImportanceMatrix } from '../../../formats/imatrix/index.js'
import { imatrixText, makeImatrix } from '../../../src/calibration/index.js'
import { finish } from '../../../src/progress/index.js'
import { asGguf } from '../../../src/quantize/as-gguf.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'
import { llama, sampleModels, samplePath } from '../../support/sample-models.js'

const text = samplePath('text/kjv-calibration.txt')

async function read(path: string): Promise<ImportanceMatrix> {
  const source = await fileSource(path)
  try {
    return await readImportanceMatrix(source)
  } finally {
    await source.close()
  }
}

describe.skipIf(!llama.available)(`mq imatrix (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let folder: string
  const oneLayer = (): string => join(folder, 'one-layer')
  beforeAll(async () => {
    models = await sampleModels()
    folder = await mkdtemp(join(tmpdir(), 'mq-imatrix-'))
    await writeOneLayerSample(oneLayer())
  })
  afterAll(async () => {
    await models[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  test('sees every weight of the layers, from a GGUF', async () => {
    const model = await models.make('deepseek-kjv-moe', 'F16')
    const output = join(folder, 'deepseek.gguf')
    const report = await finish(makeImatrix({ toGguf: asGguf, model, text, output, chunks: 2, contextLength: 64, threads: 2 }))
    expect(report).toMatchObject({ tensors: 48, chunks: 2, contextLength: 64, text: 'kjv-calibration.txt' })
    const { entries, datasets } = await read(output)
    expect(datasets).toEqual(['kjv-calibration.txt'])
    // figures of config.json: 4 heads, rank 256 of keys and values, 8 experts of which 2 are used
    expect(entries.get('blk.0.attn_v_b.weight')?.meanSquares).toHaveLength(4 * 256)
    const { counts } = entries.get('blk.1.ffn_up_exps.weight') ?? expect.fail('no experts')
    expect(counts).toHaveLength(8)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2 * 2 * 64)
    const unseen = report.unseenExperts.find(({ tensor }) => tensor === 'blk.1.ffn_up_exps.weight')?.unseen ?? 0
    expect(unseen).toBe(counts.filter((count) => count === 0).length)
    expect(imatrixText(report)).toContain('48 tensors on kjv-calibration.txt, 2 chunks of 64 tokens')
  })

  test('takes the text of the package where none is given', async () => {
    const output = join(folder, 'built-in.gguf')
    const options = { model: oneLayer(), output, contextLength: 64, threads: 2 }
    const report = await finish(makeImatrix({ toGguf: asGguf, ...options }))
    expect(report.text).toBe('mq-general.txt')
    // 20 kB of text, in tokens of two to three characters
    expect(report.chunks).toBeGreaterThan(100)
    expect(report.chunksLeftOut).toBeGreaterThan(0)
    expect((await read(output)).datasets).toEqual(['mq-general.txt'])
    expect(imatrixText(report)).toContain('the text of the package')
  })

  test('is the same from the checkpoint, for any number of threads, and with the output where it is asked for', async () => {
    const options = { model: samplePath('llama-kjv'), text, chunks: 2, contextLength: 600 }
    const [one, two] = [join(folder, 'one.gguf'), join(folder, 'two.gguf')]
    await finish(makeImatrix({ toGguf: asGguf, ...options, output: one, threads: 1 }))
    await finish(makeImatrix({ toGguf: asGguf, ...options, output: two, threads: 2 }))
    expect((await readFile(one)).equals(await readFile(two))).toBe(true)
    await expect(finish(makeImatrix({ toGguf: asGguf, ...options, output: two }))).rejects.toMatchObject({
      code: 'OUTPUT_EXISTS',
    })
    await finish(makeImatrix({ toGguf: asGguf, ...options, output: two, processOutput: true, force: true }))
    const [without, withOutput] = [await read(one), await read(two)]
    expect(withOutput.entries.get('output.weight')?.counts).toEqual([1200])
    expect([...withOutput.entries.keys()]).toEqual([...without.entries.keys(), 'output.weight'])
    expect(withOutput.entries.get('blk.3.ffn_down.weight')).toEqual(without.entries.get('blk.3.ffn_down.weight'))
  })

  test('refuses a model that computes no numbers', async () => {
    const whole = await models.make('llama-kjv', 'F16')
    const file = await openGguf(whole)
    await file.close()
    const norm = file.tensors.find(({ name }) => name === 'blk.2.ffn_norm.weight') ?? expect.fail('no norm')
    const bytes = await readFile(whole)
    // a file of its own: the sample is shared by hard links
    const model = join(folder, 'not-finite.gguf')
    await writeFile(model, bytes.fill(0xff, norm.start, norm.end))
    const work = makeImatrix({ toGguf: asGguf, model, text, output: join(folder, 'none.gguf'), chunks: 2, contextLength: 64 })
    await expect(finish(work)).rejects.toMatchObject({
      code: 'ACTIVATIONS_NOT_FINITE',
      details: { tensor: expect.stringMatching(/^blk\.2\.ffn_/) },
    })
    expect(await readdir(folder)).not.toContain('none.gguf')
  })

  test('leaves nothing where it is stopped, or has too little text', async () => {
    const own = await mkdtemp(join(folder, 'stopped-'))
    const stop = new AbortController()
    const options = { model: await models.make('llama-kjv', 'Q8_0'), text, output: join(own, 'imatrix.gguf') }
    await expect(
      finish(makeImatrix({ toGguf: asGguf, ...options, signal: stop.signal }), () => stop.abort()),
    ).rejects.toMatchObject({
      code: 'INTERRUPTED',
    })
    const short = samplePath('text/README.md')
    await expect(finish(makeImatrix({ toGguf: asGguf, ...options, text: short }))).rejects.toMatchObject({
      code: 'TEXT_TOO_SHORT',
    })
    expect(await readdir(own)).toEqual([])
  })
})
