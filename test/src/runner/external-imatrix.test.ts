import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeGguf } from '../../../formats/gguf/index.js'
import { finish } from '../../../src/progress/index.js'
import { externalImatrix } from '../../../src/runner/index.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-external-'))
  await writeGguf(join(folder, 'm.gguf'), new Map([['general.architecture', { type: 'string', value: 'llama' }]]), [])
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A program of that name, which is told where to write as its sixth argument. */
async function pretend(script: string): Promise<void> {
  const path = join(folder, 'llama-imatrix')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
}

const work = (options = {}) => {
  const [model, output] = [join(folder, 'm.gguf'), join(folder, 'out.gguf')]
  return finish(externalImatrix(model, 't.txt', output, { directory: folder, ...options }))
}

test('the file has its name when the program has ended well', async () => {
  await pretend('echo "$@" > "$6"')
  await work({ chunks: 3, threads: 2, output: true })
  expect(await readdir(folder)).toEqual(['llama-imatrix', 'm.gguf', 'out.gguf'])
  expect(await readFile(join(folder, 'out.gguf'), 'utf8')).toMatch(
    /--ctx-size 512 --no-ppl --chunks 3 --threads 2 --process-output$/m,
  )
})

test('what it wrote before it failed is not left, and its words are told', async () => {
  await pretend('echo half > "$6"; echo "error: failed to load model" >&2; exit 1')
  await expect(work()).rejects.toMatchObject({ code: 'MODEL_REJECTED' })
  await pretend('exit 0')
  await expect(work()).rejects.toMatchObject({ code: 'LLAMA_CRASHED' })
  await expect(work({ directory: tmpdir() })).rejects.toMatchObject({ code: 'LLAMA_MISSING' })
  expect(await readdir(folder)).toEqual(['llama-imatrix', 'm.gguf'])
})
