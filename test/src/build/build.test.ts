import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type BuildDryRun,
  type BuildOutcome,
  type BuildProgress,
  build,
  dryRunBuild,
  inProcess,
} from '../../../src/build/index.js'
import { hashFile } from '../../../src/files/index.js'
import { finish } from '../../../src/progress/index.js'
import { readReport } from '../../../src/verify/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'
import { runMqHere } from '../../support/run-mq-here.js'
import { llama } from '../../support/sample-models.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const text = (name: string): string => join(root, 'samples/text', name)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-build-'))
  await writeOneLayerSample(join(folder, 'sample'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A build of one model in two sizes; `large` is what its larger output is. */
function fileText({ large = 'type: Q8_0', gate = 'kld <= 0.5 * small', to = './dist' } = {}): string {
  return `
models:
  one:
    source: sample
    calibration: { text: ${text('kjv-calibration.txt')}, chunks: 2, context: 64, rank: 0 }
    test: { text: ${text('kjv-heldout.txt')}, chunks: 2, context: 64 }
    outputs:
      small: { preset: Q4_K_M }
      large: { ${large} }
    gates:
      - ppl-ratio <= 3
      - { gate: ${gate}, outputs: large }
    publish:
      - { name: 'kjv/{model}', to: ${to}, check: false }
`
}

/** Runs a build in this process. */
async function run(options: Parameters<typeof fileText>[0], work = 'work'): Promise<BuildOutcome & { ran: string[] }> {
  const file = join(folder, 'build.yaml')
  await writeFile(file, fileText(options))
  const ran: string[] = []
  const outcome = await finish(build({ file, work: join(folder, work), threads: 2 }), ({ step, state }: BuildProgress) => {
    if (state === 'done') ran.push(step ?? '')
  })
  return { ...outcome, ran }
}

/** A dry run of the same. */
async function dryRun(options: Parameters<typeof fileText>[0]): Promise<BuildDryRun> {
  const file = join(folder, 'build.yaml')
  await writeFile(file, fileText(options))
  return finish(dryRunBuild({ file, work: join(folder, 'work'), threads: 2 }))
}

const digestsOf = ({ report }: BuildOutcome): string[] =>
  report.models.flatMap(({ outputs }) => outputs.flatMap(({ files }) => files.map(({ sha256 }) => sha256)))

describe.skipIf(!llama.available)(`a build (${llama.name})`, () => {
  let first: Awaited<ReturnType<typeof run>>

  test('makes, measures, checks and publishes what its file says, as its dry run had it', async () => {
    const planned = await dryRun({})
    expect(await readdir(folder)).toEqual(['build.yaml', 'sample'])
    first = await run({})
    const sizes = first.report.models[0]?.outputs.map(({ name, sizeBytes }) => [`one/quantize/${name}`, sizeBytes])
    const estimated = new Map(planned.steps.map(({ id, sizeBytes }) => [id, sizeBytes]))
    expect(sizes?.map(([id]) => [id, estimated.get(String(id))])).toEqual(sizes)
    expect(planned.steps.filter(({ known }) => known)).toEqual([])
    expect(planned.publications.map(({ name }) => name)).toEqual(['kjv/one:small', 'kjv/one:large'])
    expect(first.failed).toBeUndefined()
    expect(first.ran.toSorted()).toEqual(
      [
        'calibrate',
        'convert',
        'measure/large',
        'measure/small',
        'plan/large',
        'plan/small',
        'quantize/large',
        'quantize/small',
        'reference',
      ].map((name) => `one/${name}`),
    )
    const [model] = first.report.models
    expect(model?.outputs.map(({ name, goal, gates }) => [name, goal, gates.map(({ passed }) => passed)])).toEqual([
      ['small', 'preset Q4_K_M', [true]],
      ['large', 'type Q8_0', [true, true]],
    ])
    const published = (await readdir(join(folder, 'dist'))).toSorted()
    expect(published).toEqual([
      'README.md',
      'SHA256SUMS',
      ...['large', 'small'].flatMap((name) => ['', '.plan.json', '.verify.json'].map((ending) => `one-${name}.gguf${ending}`)),
    ])
    const { sha256 } = await hashFile(join(folder, 'dist/one-large.gguf'))
    expect(sha256).toBe(model?.outputs[1]?.files[0]?.sha256)
    const report = await readReport(join(folder, 'dist/one-large.gguf.verify.json'))
    expect([report.passed, report.reference.name, report.gates.length]).toEqual([true, 'sample', 2])
    const card = await readFile(join(folder, 'dist/README.md'), 'utf8')
    expect(card).toContain('# kjv/one, large')
    expect(card).toContain(sha256)
  })

  test('does nothing again', async () => {
    const again = await run({})
    expect(again.ran).toEqual([])
    expect(again.report.steps).toEqual({ total: 9, known: 9, run: 0 })
    expect(again.report.publications.map(({ isNew }) => isNew)).toEqual([false, false])
    expect(again.report.models).toEqual(first.report.models)
    const planned = await dryRun({ large: 'type: Q5_K' })
    expect(planned.steps.filter(({ known }) => !known).map(({ id }) => id)).toEqual([
      'one/plan/large',
      'one/quantize/large',
      'one/measure/large',
    ])
    expect(planned.diskBytes).toBeLessThan(2e6)
  })

  test('publishes again what is gone', async () => {
    await rm(join(folder, 'dist/one-small.gguf'))
    const again = await run({})
    expect(again.report.publications.map(({ output, isNew }) => [output, isNew])).toEqual([
      ['small', true],
      ['large', false],
    ])
  })

  test('redoes the steps of the output that was changed, and no others', async () => {
    const changed = await run({ large: 'type: Q6_K', gate: 'kld <= small', to: './other' })
    expect(changed.ran.toSorted()).toEqual(['one/measure/large', 'one/plan/large', 'one/quantize/large'])
    expect(digestsOf(changed)[0]).toBe(digestsOf(first)[0])
    expect(digestsOf(changed)[1]).not.toBe(digestsOf(first)[1])
  })

  test('publishes nothing where one output fails its gate against another', async () => {
    const { failed, report, ran } = await run({ gate: 'kld <= 0.0001 * small', to: './never' })
    expect(ran).toEqual([])
    expect(failed?.code).toBe('GATE_FAILED')
    expect(failed?.exit).toBe(5)
    expect(failed?.message).toMatch(
      /^The mean KL divergence against 0\.0001 times that of small of one\/large is .* \(line 12 of the build file\)\.$/,
    )
    expect([report.passed, report.publications]).toEqual([false, []])
    expect(await readdir(folder)).not.toContain('never')
  })

  test('ends with exit status 5 on the command line, with the summary', async () => {
    await writeFile(join(folder, 'failing.yaml'), fileText({ gate: 'size <= 0.5 * small', to: './never' }))
    const summary = join(folder, 'step-summary.md')
    const { exitCode, stdout, stderr } = await runMqHere(['build', 'failing.yaml', '--work', 'work'], {
      cwd: folder,
      env: { GITHUB_STEP_SUMMARY: summary },
    })
    expect([exitCode, stderr.split('\n').length]).toEqual([5, 1])
    expect(stderr).toMatch(/^mq: GATE_FAILED: The size in bytes against 0\.5 times that of small of one\/large is /)
    const markdown = await readFile(summary, 'utf8')
    expect(stdout).toContain(markdown.trim())
    expect(markdown).toContain('**1 of 3 gates failed: nothing was published.**')
    expect(markdown).toMatch(/^\| B \| large \| \d.* MB \| 8\.5\d\d \| 0\.000\d\d ± /m)
    expect(await readFile(join(folder, 'work/summary.md'), 'utf8')).toBe(markdown)
    const page = await readFile(join(folder, 'work/summary.html'), 'utf8')
    expect(page).toContain('1 of 3 gates failed')
    expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/)
    expect(await readdir(folder)).not.toContain('never')
  })

  test('calibrates on the text of the package, which other machines find in the work folder', async () => {
    const file = join(folder, 'package.yaml')
    const calibration = '{ text: package, chunks: 2, context: 64, rank: 0 }'
    const model = `{ source: sample, calibration: ${calibration}, outputs: { small: { type: Q4_K } } }`
    await writeFile(file, `models: { one: ${model} }`)
    const planned = await finish(dryRunBuild({ file, work: join(folder, 'package') }))
    expect(planned.steps.map(({ id }) => id)).toEqual(
      ['convert', 'calibrate', 'plan/small', 'quantize/small'].map((id) => `one/${id}`),
    )
    const alone = await finish(build({ file, work: join(folder, 'package'), threads: 2 }))
    const texts: string[] = []
    const remote = await finish(
      build({
        file,
        work: join(folder, 'remote'),
        executor: (work) => {
          const own = inProcess({ measured: join(work.path, 'measured'), threads: 2 })
          return {
            ...own,
            isRemote: true,
            run(task) {
              texts.push(...Object.entries(task.inputs).flatMap(([role, { path }]) => (role === 'text' ? [path] : [])))
              return own.run(task)
            },
          }
        },
      }),
    )
    expect(digestsOf(remote)).toEqual(digestsOf(alone))
    expect(texts).toEqual([join(folder, 'remote/sources/mq-general.txt')])
    const { sha256 } = await hashFile(texts[0] ?? '')
    expect(sha256).toBe((await hashFile(join(root, 'samples/calibration/mq-general.txt'))).sha256)
  })

  test.each([
    ['calibrate', 1],
    ['quantize', 2],
    ['measure', 2],
  ])('goes on after kill -9 in %s, to the same bytes', async (kind, count) => {
    const work = join(folder, `cut-${kind}`)
    await cp(join(folder, 'work'), work, { recursive: true })
    for (const name of await readdir(join(work, 'steps'))) {
      if (name.startsWith(`${kind}-`)) await rm(join(work, 'steps', name), { recursive: true })
    }
    const file = join(folder, 'cut.yaml')
    await writeFile(file, fileText({ to: `${work}/dist` }))
    const args = [join(root, 'bin/run.js'), 'build', file, '--work', work, '--threads', '2', '--json']
    const env = { ...process.env, NODE_ENV: 'production' }
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
    const ended = once(child, 'exit')
    for await (const line of createInterface({ input: child.stdout })) {
      const { step = '', state } = JSON.parse(line) as BuildProgress
      if (state === 'started' && step.includes(`/${kind}`)) break
    }
    child.kill('SIGKILL')
    await ended
    const ran: string[] = []
    const outcome = await finish(build({ file, work, threads: 2 }), ({ step, state }: BuildProgress) => {
      if (state === 'done') ran.push(step ?? '')
    })
    expect(ran.every((step) => step.includes(`/${kind}`))).toBe(true)
    expect(ran).toHaveLength(count)
    expect(digestsOf(outcome)).toEqual(digestsOf(first))
  })
})
