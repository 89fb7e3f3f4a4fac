import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runMq } from '../support/run-mq.js'
import { runMqHere } from '../support/run-mq-here.js'
import { runningRegistry } from '../support/running-registry.js'
import { llama, sampleModels } from '../support/sample-models.js'

const prompt = 'And it came to pass in those days, that'
/** `llama-completion -m MODEL -p PROMPT --temp 0 -n 12 -no-cnv` of llama.cpp 0.7.0. */
const expected = ' the LORD spake unto Moses, saying, Speak unto the'
const greedy = ['--raw', '--temperature', '0', '-n', '12']

describe.skipIf(!llama.available)(`mq run (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: string

  beforeAll(async () => {
    models = await sampleModels()
    model = await models.make('llama-kjv', 'F16')
  })
  afterAll(() => models[Symbol.asyncDispose]())

  test('writes the text on stdout and figures on stderr', async () => {
    const { exitCode, stdout, stderr } = await runMqHere(['run', model, prompt, ...greedy])
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expected })
    expect(stderr).toMatch(/^prompt \d+ tokens in [\d.]+ s; 12 tokens in [\d.]+ s, [\d.]+ tokens\/s, stopped at --max-tokens$/)
  })

  test('says that no layer goes to a GPU where there is none', async () => {
    const { stdout, stderr } = await runMqHere(['run', model, prompt, ...greedy, '-ngl', 'all'], {
      env: { MQ_LLAMA_BUILD: 'cpu' },
    })
    expect(stdout).toBe(expected)
    expect(stderr).toMatch(
      /^Note: llama\.cpp finds no GPU, so all layers stay on the processor; `mq doctor` shows what is installed\.\nprompt /,
    )
  })

  test('takes the prompt from stdin, and gives JSON', async () => {
    const { stdout, stderr } = await runMq(['run', model, ...greedy, '--json'], { input: `${prompt}\n` })
    expect(JSON.parse(stdout)).toMatchObject({ model, text: expected, tokens: 12, stopped: 'length' })
    expect(stderr).toBe('')
  })

  test('takes a prompt and what is piped in as one', async () => {
    const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
    const script = `printf 'And it came to pass' | "$0" "$@"`
    const { stdout } = await execa('sh', ['-c', script, process.execPath, entry, 'run', model, 'In those days', ...greedy])
    const joined = await runMqHere(['run', model, 'In those days\n\nAnd it came to pass', ...greedy])
    expect(stdout).toBe(joined.stdout)
  })

  test('pulls a model by its name in a registry', async () => {
    await using registry = await runningRegistry()
    await registry.publish({ source: model, name: 'kjv/llama' })
    const env = { MQ_CACHE: join(registry.folder, 'cache') }
    const { exitCode, stdout } = await runMqHere(['run', 'kjv/llama', prompt, ...greedy, '--endpoint', registry.url], { env })
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expected })
  })

  test('takes a model from a registry folder on this disk, without a server', async () => {
    await using registry = await runningRegistry()
    await registry.publish({ source: model, name: 'kjv/llama' })
    const env = { MQ_CACHE: join(registry.folder, 'cache'), MQ_REGISTRY: registry.directory, MQ_ENDPOINT: '', HF_ENDPOINT: '' }
    const before = registry.log.length
    const { exitCode, stdout } = await runMqHere(['run', 'kjv/llama', prompt, ...greedy], { env })
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expected })
    expect(registry.log).toHaveLength(before)
  })

  test('ends at once on SIGTERM while it reads its prompt from a pipe that stays open', async () => {
    const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
    const running = spawn(process.execPath, [entry, 'run', model, '--raw'], { stdio: ['pipe', 'pipe', 'pipe'] })
    let stderr = ''
    running.stderr.on('data', (text) => {
      stderr += text
    })
    const ended = once(running, 'close')
    // Read, and waited for more: then the command has begun, its handlers are there.
    await new Promise<void>((resolve) => {
      running.stdin.write(Buffer.alloc(1 << 20, 'a'), () => resolve())
    })
    running.kill('SIGTERM')
    expect(await ended).toEqual([130, null])
    expect(stderr).toMatch(/^mq: INTERRUPTED: /)
    running.stdin.destroy()
  })

  test('ends in order on Ctrl-C', async () => {
    const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
    const running = spawn(process.execPath, [entry, 'run', model, prompt, '--raw', '--temperature', '0', '--ctx', '100000'])
    let stderr = ''
    running.stderr.on('data', (text) => {
      stderr += text
    })
    const ended = once(running, 'close')
    await once(running.stdout, 'data')
    running.stdout.resume()
    running.kill('SIGINT')
    expect(await ended).toEqual([130, null])
    expect(stderr).toMatch(/^mq: INTERRUPTED: Stopped before text generation with [^\n]+\n$/)
  })

  test.each([
    [['--top-p', '7'], 2, 'FLAG_INVALID'],
    [['--temperature', 'hot'], 2, 'FLAG_INVALID'],
    [['--prompt', 'twice'], 2, 'FLAGS_CONFLICT'],
    [['--ctx', '4294967304'], 2, 'FLAG_INVALID'],
    [['-ngl', 'some'], 2, 'FLAG_INVALID'],
    [['--ctx', '8'], 3, 'PROMPT_TOO_LONG'],
  ])('%j ends with %i and one line', async (flags, status, code) => {
    const { exitCode, stdout, stderr } = await runMqHere(['run', model, prompt, '--raw', ...flags])
    expect({ exitCode, stdout }).toEqual({ exitCode: status, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^mq: ${code}: [^\\n]+$`))
  })
})
