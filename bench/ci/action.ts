import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { cloneHere, run } from './fresh-clone.js'

interface Action {
  readonly inputs: Readonly<Record<string, { readonly default?: string }>>
  readonly runs: { readonly steps: readonly Step[] }
}

interface Step {
  readonly name?: string
  readonly uses?: string
  readonly run?: string
  readonly env?: Readonly<Record<string, string>>
  readonly 'working-directory'?: string
}

/** What a run of the action came to. */
interface ActionRun {
  readonly outputs: Readonly<Record<string, string>>
  readonly summary: string
}

/**
 * Runs the shell steps of action.yml as a runner does, in a fresh clone and in the workspace of another repository: installing, a build that
 * passes, the same again, and one whose gate fails. Steps that use other actions (Node, the cache) are left out.
 * @throws Error where a step ends with another status than it should, or its outputs are others.
 */
export async function benchAction(say: (text: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-action-'))
  try {
    const [actionPath, workspace] = [join(folder, 'action'), join(folder, 'workspace')]
    cloneHere(actionPath)
    await mkdir(workspace)
    await cp(join(actionPath, 'samples/llama-kjv'), join(workspace, 'model'), { recursive: true })
    const write = (most: string): Promise<void> =>
      writeFile(
        join(workspace, 'build.yaml'),
        `models: { m: { source: model, outputs: { Q4_K_M: { preset: Q4_K_M } }, gates: [size <= ${most}] } }\n`,
      )
    const { inputs, runs } = parse(await readFile(join(actionPath, 'action.yml'), 'utf8')) as Action
    const [install, ...steps] = runs.steps.filter((step) => step.run !== undefined)
    for (const { uses } of runs.steps) if (uses !== undefined) say(`left out: ${uses}`)
    const means = { inputs, given: { file: 'build.yaml' }, actionPath, workspace }
    if (install !== undefined) await timed(say, install.name ?? '', () => runStep(install, means, 0))
    const build = async (what: string, most: string, status: number): Promise<ActionRun> => {
      await write(most)
      let last: ActionRun = { outputs: {}, summary: '' }
      for (const step of steps)
        await timed(say, `${step.name ?? ''}, ${what}`, async () => (last = await runStep(step, means, status)))
      return last
    }
    const first = await build('first run', '10MB', 0)
    expect(first, 'true', 'The gate passed')
    const report = JSON.parse(await readFile(join(workspace, first.outputs['report'] ?? ''), 'utf8')) as { passed: boolean }
    if (!report.passed) throw new Error('the report says that a gate failed')
    expect(await build('same again', '10MB', 0), 'true', 'The gate passed')
    expect(await build('a gate fails', '1MB', 5), 'false', 'nothing was published')
    say('outputs, report and summary are as action.yml says')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function expect({ outputs, summary }: ActionRun, passed: string, words: string): void {
  if (outputs['passed'] !== passed) throw new Error(`passed is ${outputs['passed'] ?? 'not said'}, not ${passed}`)
  if (!summary.includes(words)) throw new Error(`the summary of the job does not say "${words}": ${summary.slice(0, 500)}`)
}

interface Means {
  readonly inputs: Action['inputs']
  readonly given: Readonly<Record<string, string>>
  readonly actionPath: string
  readonly workspace: string
}

/** Runs one step, as `shell: bash` is run. */
async function runStep(step: Step, { inputs, given, actionPath, workspace }: Means, status: number): Promise<ActionRun> {
  const expand = (text: string): string =>
    text.replaceAll(/\$\{\{\s*([\w.]+)\s*\}\}/g, (_, name: string) => {
      if (name === 'github.action_path') return actionPath
      const input = /^inputs\.(\w+)$/.exec(name)?.[1] ?? ''
      const value = given[input] ?? inputs[input]?.default
      if (value === undefined) throw new Error(`there is no value for ${name}`)
      return value
    })
  const files = { GITHUB_OUTPUT: join(workspace, '..', 'output'), GITHUB_STEP_SUMMARY: join(workspace, '..', 'summary') }
  for (const file of Object.values(files)) await writeFile(file, '')
  const env = Object.fromEntries(Object.entries(step.env ?? {}).map(([name, value]) => [name, expand(value)]))
  run('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', expand(step.run ?? '')], {
    cwd: step['working-directory'] === undefined ? workspace : expand(step['working-directory']),
    env: { ...process.env, ...files, ...env },
    status,
  })
  const lines = (await readFile(files.GITHUB_OUTPUT, 'utf8')).split('\n').filter((line) => line.includes('='))
  const outputs = lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
  return {
    outputs: Object.fromEntries(outputs) as Record<string, string>,
    summary: await readFile(files.GITHUB_STEP_SUMMARY, 'utf8'),
  }
}

async function timed(say: (text: string) => void, what: string, work: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now()
  await work()
  say(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${what}`)
}
