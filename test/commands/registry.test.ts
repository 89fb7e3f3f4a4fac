import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { runMqHere } from '../support/run-mq-here.js'
import { temporaryFolder, writeTinyGguf } from '../support/tiny-model.js'

describe('mq publish, registry ls, registry serve, pull', () => {
  test('one after the other, through $MQ_REGISTRY', async () => {
    await using folder = await temporaryFolder()
    const env = { MQ_REGISTRY: join(folder.path, 'registry') }
    const source = await writeTinyGguf(folder.path, 'm.gguf')
    expect((await runMqHere(['registry', 'ls'], { env })).stdout).toContain('has no models yet')

    const published = await runMqHere(['publish', source, 'kjv/tiny', '--no-check'], { env })
    expect(published).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^kjv\/tiny:Q4_K_M {2}1 files?, /) })
    const listed = await runMqHere(['registry', 'ls', '--json'], { env })
    expect(JSON.parse(listed.stdout).models).toMatchObject([{ name: 'kjv/tiny:Q4_K_M', architecture: 'llama' }])

    const server = spawn(process.execPath, ['bin/run.js', 'registry', 'serve', '--port', '0', '--json'], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = once(server, 'exit')
    let json = ''
    for await (const line of createInterface(server.stdout)) {
      json += line
      if (line === '}') break
    }
    const { url } = JSON.parse(json)
    const output = join(folder.path, 'pulled')
    const pulled = await runMqHere(['pull', 'kjv/tiny:Q4_K_M', '-o', output], { env: { HF_ENDPOINT: url } })
    expect(pulled).toMatchObject({ exitCode: 0, stderr: '' })
    expect(await readFile(join(output, 'tiny-Q4_K_M.gguf'))).toEqual(await readFile(source))
    server.kill('SIGINT')
    expect(await ended).toEqual([0, null])
  })

  test.each([
    [['publish', 'none.gguf', 'kjv/tiny'], 3, 'FILE_MISSING'],
    [['publish', 'package.json', 'kjv/tiny'], 3, 'GGUF_INVALID'],
    [['publish', 'samples/llama-kjv', 'llama'], 2, 'NAME_INVALID'],
    [['publish', 'samples/llama-kjv', 'kjv/llama', '--report', 'none.json'], 3, 'FILE_MISSING'],
    [['pull', 'kjv/tiny', '--endpoint', 'http://127.0.0.1:1'], 6, 'NETWORK'],
    [['registry', 'serve', '--port', '70000'], 2, 'FLAG_INVALID'],
  ])('%j ends with %i and one line', async (args, exitCode, code) => {
    await using folder = await temporaryFolder()
    const result = await runMqHere(args, { env: { MQ_REGISTRY: folder.path, NODE_ENV: 'production' } })
    expect(result.exitCode).toBe(exitCode)
    expect(result.stderr).toMatch(new RegExp(`^mq: ${code}: [^\\n]+$`))
  })
})
