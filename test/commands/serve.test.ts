import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runMq } from '../support/run-mq.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama, sampleModels } from '../support/sample-models.js'

const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

describe.skipIf(!llama.available)(`mq serve (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: string
  let folder: string

  beforeAll(async () => {
    models = await sampleModels()
    model = await models.make('llama-kjv', 'F16')
    folder = await mkdtemp(join(tmpdir(), 'mq-serve-'))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
    await models[Symbol.asyncDispose]()
  })

  test('says its address, answers with a key, ends on SIGTERM', async () => {
    const args = [entry, 'serve', model, '--port', '0', '-np', '2']
    const env = { ...process.env, MQ_API_KEY: 'secret' }
    const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
    const ended = once(running, 'close')
    running.stderr.resume()
    const [line] = (await once(createInterface({ input: running.stdout }), 'line')) as [string]
    const [, url = ''] = /^(http:\/\/127\.0\.0\.1:\d+\/v1) serves /.exec(line) ?? []
    const headers = { 'content-type': 'application/json', authorization: 'Bearer secret' }
    const body = JSON.stringify({ prompt: 'In the beginning', max_tokens: 3, temperature: 0 })
    expect(
      (await fetch(`${url}/completions`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).status,
    ).toBe(401)
    const answer = (await (await fetch(`${url}/completions`, { method: 'POST', body, headers })).json()) as { model: string }
    // the name of the file, and no folders of this machine
    expect(answer.model).toMatch(/^llama-kjv-F16-\d+$/)
    running.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  })

  test.skipIf(process.platform === 'win32')(
    'hands over to llama-server, with its flags and without the key in its arguments',
    async () => {
      const program = join(folder, 'llama-server')
      await writeFile(
        program,
        `#!/bin/sh\nprintf '%s\\n' "$@" "mode $LLAMA_ARG_LOAD_MODE key $LLAMA_API_KEY" > '${folder}/arguments'\n`,
      )
      await chmod(program, 0o755)
      const flags = ['--port', '1234', '-np', '2', '-c', '512', '-ngl', 'all', '-ctk', 'q8_0', '--no-mmap', '--api-key', 'secret']
      const { exitCode, stderr } = await runMq(['serve', model, '--engine', 'llama-server', '--llama-dir', folder, ...flags])
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
      const written = (await readFile(join(folder, 'arguments'), 'utf8')).trim().split('\n').join(' ')
      expect(written).toContain(`--model ${model} --alias llama-kjv-F16-`)
      expect(written).toContain(
        '--host 127.0.0.1 --port 1234 --parallel 2 --ctx-size 1024 --metrics --gpu-layers all --flash-attn auto --cache-type-k q8_0 --cache-type-v f16 mode none key secret',
      )
    },
  )

  test.each([
    [['--ctx', '99999999999'], 2, 'FLAG_INVALID'],
    [['--memory', 'much'], 2, 'FLAG_INVALID'],
    [['--engine', 'llama-server', '--llama-dir', '/nowhere'], 4, 'LLAMA_MISSING'],
    [['--api-key-file', '/nowhere'], 3, 'FILE_MISSING'],
  ])('%j ends with %i and one line', async (flags, status, code) => {
    const { exitCode, stderr } = await runMqHere(['serve', model, ...flags])
    expect(exitCode).toBe(status)
    expect(stderr).toMatch(new RegExp(`^mq: ${code}: [^\\n]+$`))
  })
})
