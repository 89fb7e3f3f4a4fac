import { execFile } from 'node:child_process'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../bench/free-port.js'
import type { Generated } from '../../src/runner/index.js'
import type { SpeedReport } from '../../src/speed/index.js'
import { foreign } from '../support/foreign.js'
import { runMq } from '../support/run-mq.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama, sampleModels } from '../support/sample-models.js'

const entry = new URL('../../bin/run.js', import.meta.url).pathname
const missing = ['llama-server', 'llama-bench'].filter((name) => !foreign.has(name))
const name = !llama.available ? llama.name : missing.length === 0 ? foreign.name : `SKIPPED, ${missing.join(', ')} not there`

describe.skipIf(!foreign.available || missing.length > 0 || !llama.available)(`--llama-dir (${name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: string
  let directory: string
  let env: Record<string, string>
  const greedy = ['--temp', '0', '-n', '12', '-t', '1']

  beforeAll(async () => {
    models = await sampleModels()
    model = await models.make('llama-kjv', 'F16')
    directory = join(models.folder, 'bin')
    await mkdir(directory)
    // Each enters the foreign root, where the models' folder lies at the same path; so must sockets.
    for (const program of ['llama-server', 'llama-bench']) {
      const [command, args] = foreign.enter(program, [], models.folder)
      const quoted = [command, ...args].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
      await writeFile(join(directory, program), `#!/bin/sh\nexec ${quoted} "$@"\n`)
      await chmod(join(directory, program), 0o755)
    }
    env = { TMPDIR: models.folder }
  })
  afterAll(async () => {
    await foreign.leave(models.folder)
    await models[Symbol.asyncDispose]()
  })

  const servers = async (): Promise<string[]> => {
    const { stdout } = await promisify(execFile)('ps', ['-eo', 'args'])
    return stdout.split('\n').filter((line) => line.startsWith('llama-server') && line.includes(model))
  }

  test.each([[['In those days', '--raw']], [['In those days']]])(
    'mq run %j writes the text of the embedded llama.cpp',
    async (asked) => {
      const embedded = await runMqHere(['run', model, ...asked, ...greedy])
      const { exitCode, stdout, stderr } = await runMqHere(['run', model, ...asked, ...greedy, '--llama-dir', directory], { env })
      expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: embedded.stdout })
      expect(stderr).toMatch(/; 12 tokens in .* tokens\/s, stopped at --max-tokens$/)
      expect(await servers()).toEqual([])
    },
  )

  test('counts tokens, and says why a text ended', async () => {
    const ask = async (...flags: string[]): Promise<Generated> => {
      const args = [
        'run',
        model,
        'In those days',
        '--raw',
        '--temp',
        '0',
        '--json',
        '--llama-dir',
        directory,
        '--no-mmap',
        ...flags,
      ]
      return JSON.parse((await runMqHere(args, { env })).stdout) as Generated
    }
    const { promptTokens, tokens, stopped } = await ask('-n', '5')
    expect({ tokens, stopped }).toEqual({ tokens: 5, stopped: 'length' })
    expect((await ask('-c', '256')).stopped).toBe('context')
    expect((await ask('-n', '40', '--stop', ' the')).stopped).toBe('stop')
    expect(promptTokens).toBe(
      (JSON.parse((await runMqHere(['run', model, 'In those days', '--raw', '-n', '1', '--json'])).stdout) as Generated)
        .promptTokens,
    )
  })

  test('a chat goes on from answer to answer', async () => {
    const args = ['run', model, ...greedy, '--llama-dir', directory]
    const { exitCode, stdout, stderr } = await execa(process.execPath, [entry, ...args], {
      input: 'Who was king?\n/exit\n',
      env: { NODE_ENV: 'production', ...env },
      reject: false,
    })
    expect({ exitCode, stderr: stderr.split('\n').length }).toMatchObject({ exitCode: 0 })
    expect(stdout.length).toBeGreaterThan(10)
  })

  test('what does not load, and a prompt that is too long, are told by name', async () => {
    const broken = join(models.folder, 'broken.gguf')
    await writeFile(broken, (await import('node:fs')).readFileSync(model).subarray(0, 5_000_000))
    expect((await runMqHere(['run', broken, 'x', '--llama-dir', directory], { env })).stderr).toMatch(/^mq: [A-Z_]+: [^\n]+$/)
    const long = await runMqHere(['run', model, 'and the '.repeat(400), '--raw', '-c', '256', '--llama-dir', directory], { env })
    expect(long.stderr).toMatch(/^mq: PROMPT_TOO_LONG: The prompt has \d{3} tokens, but the context length is 256\./)
    expect((await runMqHere(['run', model, 'x', '--llama-dir', models.folder], { env })).stderr).toMatch(
      /^mq: LLAMA_MISSING: .*llama-server is not in/,
    )
    expect(await servers()).toEqual([])
  })

  test('llama-server does not outlive an mq that is killed', async () => {
    const args = ['run', model, 'In those days', '--raw', '-n', '100000', '-c', '100000', '--llama-dir', directory]
    const running = execa(process.execPath, [entry, ...args], { env, reject: false, stdin: 'ignore' })
    for (let tries = 0; (await servers()).length === 0 && tries < 400; tries += 1) await sleep(50)
    expect(await servers()).toHaveLength(1)
    running.kill('SIGKILL')
    await running
    for (let tries = 0; (await servers()).length > 0 && tries < 100; tries += 1) await sleep(50)
    expect(await servers()).toEqual([])
  })

  test('mq bench takes the figures of llama-bench', async () => {
    const args = ['bench', model, '--n-prompt', '32', '--n-gen', '8', '-r', '2', '-t', '1', '--json', '--llama-dir', directory]
    const { exitCode, stdout } = await runMqHere(args)
    expect(exitCode).toBe(0)
    const { llamaVersion, models: measured } = JSON.parse(stdout) as SpeedReport
    const embedded = JSON.parse(
      (await runMqHere(['bench', model, '--n-prompt', '1', '--n-gen', '0', '-r', '1', '--json'])).stdout,
    ) as SpeedReport
    expect(llamaVersion).not.toBe(embedded.llamaVersion)
    expect(measured[0]).toMatchObject({ parameters: embedded.models[0]?.parameters, sizeBytes: embedded.models[0]?.sizeBytes })
    for (const { samples } of measured[0]?.speeds ?? []) {
      expect(samples).toHaveLength(2)
      for (const sample of samples) expect(sample).toBeGreaterThan(1)
    }
    expect(measured[0]?.speeds.map(({ test: one }) => one)).toEqual(['pp32', 'tg8'])
  })

  test('mq serve hands over to a llama-server that takes its flags', async () => {
    const port = await freePort()
    const args = [
      'serve',
      model,
      '--engine',
      'llama-server',
      '--llama-dir',
      directory,
      '--port',
      `${port}`,
      '-c',
      '128',
      '-np',
      '1',
      '-t',
      '1',
    ]
    const serving = execa(process.execPath, [entry, ...args, '-ctk', 'q8_0', '--no-mmap', '-ngl', '0'], {
      reject: false,
      stdin: 'ignore',
      all: true,
    })
    const isUp = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        ({ ok }) => ok,
        () => false,
      )
    for (let tries = 0; !(await isUp()) && serving.exitCode === null && tries < 400; tries += 1) await sleep(50)
    expect(await isUp(), serving.exitCode === null ? '' : (await serving).all).toBe(true)
    serving.kill('SIGTERM')
    expect((await serving).exitCode).toBe(0)
    expect((await runMq(['serve', model, '--engine', 'llama-server', '--llama-dir', models.folder])).stderr).toMatch(
      /^mq: LLAMA_MISSING/,
    )
  })
})
