import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { finish, type Progress } from '../../../src/progress/index.js'
import { externalPerplexity, findProgram } from '../../../src/runner/index.js'

/** What llama-perplexity of llama.cpp 0.7.0 wrote, shortened. */
const measured = `0.00.471.724 I perplexity: tokenization took 68.797 ms
0.00.471.817 I perplexity: calculating perplexity over 3 chunks, n_ctx=512, batch_size=2048, n_seq=4
0.03.278.298 I perplexity: 2.81 seconds per pass - ETA 0.03 minutes
[1]59.7195,[2]47.0461,[3]44.1381,
0.03.308.986 I Final estimate: PPL = 44.1381 +/- 3.99765
`
const absent = `0.00.048.306 E gguf_init_from_file: failed to open GGUF file 'nix.gguf' (No such file or directory)
0.00.048.668 E llama_model_load: error loading model: llama_model_loader: failed to load model from nix.gguf
0.00.048.689 E llama_model_load_from_file_impl: failed to load model
`
const short = `0.00.100.000 E perplexity: you need at least 1024 tokens to evaluate perplexity with a context of 512
0.00.100.001 E perplexity: the data file you provided tokenizes to only 14 tokens
`

describe.skipIf(process.platform === 'win32')('the programs of the user', () => {
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mq-external-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  async function pretend(output: string, status: number): Promise<void> {
    await writeFile(join(directory, 'output'), output)
    const path = join(directory, 'llama-perplexity')
    await writeFile(path, `#!/bin/sh\necho "$@" > '${directory}/arguments'\ncat '${directory}/output' >&2\nexit ${status}\n`)
    await chmod(path, 0o755)
  }

  it('reads the final estimate and the progress', async () => {
    await pretend(measured, 0)
    const seen: Progress[] = []
    const result = await finish(externalPerplexity('m.gguf', 't.txt', { directory, chunks: 3 }), (progress) =>
      seen.push(progress),
    )
    expect(result).toEqual({ perplexity: 44.1381, standardError: 3.99765, chunks: 3, contextLength: 512 })
    expect(seen.at(-1)).toEqual({ stage: 'perplexity', done: 3, total: 3, unit: 'chunks' })
  })

  it('makes do with the last chunk where the final estimate was not written', async () => {
    await pretend(measured.slice(0, measured.indexOf('0.03.308.986')), 0)
    const result = await finish(externalPerplexity('m.gguf', 't.txt', { directory }))
    expect(result).toEqual({ perplexity: 44.1381, chunks: 3, contextLength: 512 })
  })

  it.each([
    ['a model that it does not load', absent, 1, 'MODEL_REJECTED', /failed to open GGUF file 'nix.gguf'/],
    ['a text that is too short', short, 0, 'TEXT_TOO_SHORT', /t\.txt has 14 tokens, but 1024 are needed/],
    ['a crash', 'ggml.c:12: GGML_ASSERT(x) failed\n', 134, 'LLAMA_CRASHED', /GGML_ASSERT\(x\) failed/],
    ['an end without words', '', 3, 'LLAMA_CRASHED', /status 3/],
  ])('says what went wrong: %s', async (_, output, status, code, words) => {
    await pretend(output, status)
    await expect(finish(externalPerplexity('m.gguf', 't.txt', { directory }))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    })
  })

  it('says which program is missing, and where', async () => {
    await expect(findProgram('llama-server', directory)).rejects.toMatchObject({
      code: 'LLAMA_MISSING',
      message: expect.stringContaining(`llama-server is not in ${directory}`),
    })
  })
})
