import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { repositoryPath } from '../../bench/quality-subject.js'
import { temporaryFolder } from '../support/tiny-model.js'

test('the script of docs/library.md runs', async () => {
  await using folder = await temporaryFolder()
  const page = await readFile(repositoryPath('docs/library.md'), 'utf8')
  const [, script = ''] = /```js\n(.*?)```/s.exec(page) ?? []
  // Within the repository, whose own name the script imports.
  const path = repositoryPath(`dist/library-example-${process.pid}.mjs`)
  await writeFile(path, script.replace('chunks: 32', 'chunks: 2').replace('chunks: 8', 'chunks: 1'))
  try {
    const samples = ['llama-kjv', 'text/kjv-calibration.txt', 'text/kjv-heldout.txt'].map((name) =>
      repositoryPath(join('samples', name)),
    )
    const { stdout } = await execa(process.execPath, [path, ...samples], { cwd: folder.path })
    expect(stdout).toMatch(/^model\.gguf: 3\.[45]\d\d bits per weight, \d{7} bytes$/m)
    expect(stdout).toMatch(/^KL divergence 0\.0\d+, perplexity ratio [01]\.\d+$/m)
  } finally {
    await rm(path)
  }
})
