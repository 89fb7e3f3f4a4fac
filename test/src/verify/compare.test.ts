import { copyFile, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { finish, type Progress } from '../../../src/progress/index.js'
import { type CompareReport, compareModels, comparePage, compareText, verify } from '../../../src/verify/index.js'
import { elementsOf } from '../../support/elements.js'
import { llama, sampleModels, samplePath } from '../../support/sample-models.js'
import { tinyGguf } from '../../support/tiny-model.js'

describe.skipIf(!llama.available)(`compare (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let folder: string
  let against: string
  const within = (name: string): string => join(folder, 'models', name)
  const common = { text: samplePath('text/kjv-heldout.txt'), contextLength: 64, chunks: 3, threads: 2 }

  beforeAll(async () => {
    models = await sampleModels()
    folder = await mkdtemp(join(tmpdir(), 'mq-compare-'))
    await mkdir(within(''), { recursive: true })
    against = await models.make('llama-kjv', 'F16')
    await copyFile(await models.make('llama-kjv', 'Q8_0'), within('eight.gguf'))
    await copyFile(await models.make('llama-kjv', 'BF16'), within('brain.gguf'))
  })
  afterAll(async () => {
    await models[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  async function compare(options: object = {}): Promise<{ report: CompareReport; stages: string[] }> {
    const stages = new Set<string>()
    const work = compareModels({ models: [within('')], against, cache: join(folder, 'cache'), ...common, ...options })
    const report = await finish(work, ({ stage }: Progress) => stages.add(stage))
    return { report, stages: [...stages].filter((stage) => stage !== 'identify') }
  }

  test('measures each file once, whatever it is called, and the reference only for those that are left', async () => {
    const { report, stages } = await compare()
    expect(stages).toEqual(['perplexity of the reference', 'model 1 of 2', 'model 2 of 2'])
    expect(report.models.map(({ name, onFront, measured }) => [name, onFront, measured])).toEqual([
      ['eight', true, true],
      ['brain', true, true],
    ])
    // the figures are those of verify
    const alone = await finish(verify({ model: within('eight.gguf'), against, ...common }))
    expect(report.models[0]?.divergence).toEqual(alone.divergence)
    expect(report.models[0]?.profile).toEqual(alone.profile)
    expect(report.models[0]?.perplexityRatio).toEqual(alone.perplexityRatio)
    expect(report.reference).toEqual(alone.reference)
    expect(report.text).toEqual(alone.text)

    await rename(within('eight.gguf'), within('renamed.gguf'))
    const again = await compare()
    expect(again.stages).toEqual([])
    const { files, name, measured, ...rest } = again.report.models[0] ?? expect.fail('no model')
    expect([files[0]?.name, name, measured]).toEqual(['renamed.gguf', 'renamed', false])
    expect(report.models[0]).toMatchObject(rest)
    expect(again.report.reference).toEqual(report.reference)
    expect(compareText(again.report)).toContain('2 of 2 measurements are from the cache')

    // a third, that is needless: larger than the second, and no nearer
    await copyFile(await models.make('llama-kjv', 'F32'), within('whole.gguf'))
    await copyFile(
      await models.make('llama-kjv', 'BF16', { 'general.description': { type: 'string', value: 'x'.repeat(500_000) } }),
      within('fat.gguf'),
    )
    const more = await compare()
    expect(more.stages).toEqual(['perplexity of the reference', 'model 2 of 4', 'model 4 of 4'])
    expect(more.report.models.find(({ name: one }) => one === 'fat')).toMatchObject({
      onFront: false,
      dominatedBy: { name: 'brain', kld: { value: 0 }, confidence: 0 },
    })
    const page = comparePage(more.report, { command: 'mq compare models', version: '1.2.3' })
    expect(elementsOf(page).filter(({ name: one }) => one === 'svg')).toHaveLength(3)
    expect(elementsOf(page).filter(({ attributes }) => attributes['class']?.includes('hollow'))).toHaveLength(3)
    expect(page).not.toMatch(/url\(|https?:|="[^"]*NaN/)
    await rm(within('fat.gguf'))
    await rm(within('whole.gguf'))

    expect((await compare({ fresh: true })).stages).toHaveLength(3)
  })

  test('goes on where it ended early, and past a damaged entry of the cache', async () => {
    const cache = join(folder, 'other-cache')
    // a file that llama.cpp does not take, after the other two
    await writeFile(within('tiny.gguf'), tinyGguf())
    await expect(compare({ cache })).rejects.toMatchObject({ code: 'MODEL_REJECTED' })
    await rm(within('tiny.gguf'))
    const kept = await readdir(cache)
    expect(kept).toHaveLength(2)
    expect((await compare({ cache })).stages).toEqual([])
    await writeFile(join(cache, kept[0] ?? ''), '{"version":1')
    expect((await compare({ cache })).report.models.filter(({ measured }) => measured)).toHaveLength(1)
  })

  test('leaves out of a folder what is no model of its own', async () => {
    await writeFile(within('tiny-00002-of-00002.gguf'), tinyGguf())
    await symlink(within('brain.gguf'), within('twin.gguf'))
    await copyFile(against, within('reference.gguf'))
    const { report } = await compare({ against: within('reference.gguf') })
    expect(report.models.map(({ files }) => files[0]?.name ?? '').sort()).toEqual(['brain.gguf', 'renamed.gguf'])
    expect(report.notes).toEqual(['reference.gguf is the reference and was skipped.'])
    for (const name of ['tiny-00002-of-00002.gguf', 'twin.gguf', 'reference.gguf']) await rm(within(name))
  })

  test('a file that is damaged is named before anything is measured', async () => {
    await writeFile(within('bad.gguf'), 'GGUF?')
    await expect(compare()).rejects.toMatchObject({ message: expect.stringContaining('bad.gguf') })
    await rm(within('bad.gguf'))
    await mkdir(join(folder, 'empty'))
    await expect(compare({ models: [join(folder, 'empty')] })).rejects.toMatchObject({ code: 'CHECKPOINT_EMPTY' })
  })
})
