import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeBlueprint } from '../../../src/model/index.js'
import { planUniform } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { loadModel } from '../../../src/runner/index.js'
import { llama } from '../../support/sample-models.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'

/** A tokenizer's files, and the ids that its reference library gives for texts: test/golden/tokenizers/make.py. */
interface Golden {
  readonly files: Readonly<Record<string, object | { readonly base64: string }>>
  readonly strings: readonly string[]
  readonly ids: readonly (readonly number[])[]
}

const goldens = new URL('../../golden/tokenizers/', import.meta.url).pathname

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mq-ids-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function convert(name: string, { files }: Golden): Promise<string> {
  const folder = join(root, name)
  await writeTinyCheckpoint(folder, ({ config }) => {
    for (const kind of ['bos', 'eos', 'pad']) delete config[`${kind}_token_id`]
  })
  await rm(join(folder, 'tokenizer.json'))
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(folder, file), 'base64' in content ? Buffer.from(content.base64, 'base64') : JSON.stringify(content))
  }
  const blueprint = await makeBlueprint(folder)
  const output = join(folder, 'out.gguf')
  await finish(quantize({ blueprint, plan: planUniform(blueprint, 'BF16'), output, threads: 1 }))
  return output
}

describe.skipIf(!llama.available)(`ids of llama.cpp (${llama.name}) and of the reference libraries agree`, async () => {
  const names = (await readdir(goldens)).filter((name) => name.endsWith('.json'))

  it.each(names)('%s', async (name) => {
    const golden = JSON.parse(await readFile(join(goldens, name), 'utf8')) as Golden
    await using model = await loadModel(await convert(name, golden), { threads: 1 })
    for (const [index, text] of golden.strings.entries()) {
      const ids = await model.tokenize(text, { special: false, parseSpecial: false })
      expect([text, [...ids]]).toEqual([text, golden.ids[index]])
    }
  })
})
