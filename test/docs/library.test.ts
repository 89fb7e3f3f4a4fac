import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { repositoryPath } from '../../bench/quality-subject.js'
import { writeOneLayerSample } from '../support/one-layer-sample.js'
import { temporaryFolder } from '../support/tiny-model.js'

test('the script of docs/library.md runs', async () => {
  await using folder = await temporaryFolder()
  const page = await readFile(repositoryPath('docs/library.md'), 'utf8')
  const [, script = ''] = /```js\n(.*?)```/s.exec(page) ?? []
  // Within the repository, whose own name the script imports.
  const path = repositoryPath(`dist/library-example-${process.pid}.mjs`)
  await writeFile(path, script.replace('chunks: 32', 'chunks: 2').replace('chunks: 8', 'chunks: 1'))
  try {
    // One layer goes through the same script as four, in a quarter of the time.
    const model = join(folder.path, 'one-layer')
    await writeOneLayerSample(model)
    const texts = ['kjv-calibration.txt', 'kjv-heldout.txt'].map((name) => repositoryPath(join('samples/text', name)))
    const { stdout } = await execa(process.execPath, [path, model, ...texts], { cwd: folder.path })
    expect(stdout).toMatch(/^model\.gguf: 3\.(?:49\d|500) bits per weight, 6\d{5} bytes$/m)
    expect(stdout).toMatch(/^KL divergence 0\.00\d\d, perplexity ratio (?:0\.99|1\.0[01])\d\d$/m)
  } finally {
    await rm(path)
  }
})
