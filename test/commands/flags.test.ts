import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import PlanCommand from '../../commands/plan.js'
import { runCommand } from '../support/run-command.js'
import { runMqHere } from '../support/run-mq-here.js'

interface ManifestFlag {
  readonly name: string
  readonly type: 'boolean' | 'option'
  readonly char?: string
  readonly allowNo?: boolean
  readonly description?: string
  readonly default?: unknown
  readonly required?: boolean
}

const { commands } = JSON.parse(await readFile('oclif.manifest.json', 'utf8')) as {
  commands: Record<string, { flags: Record<string, ManifestFlag> }>
}
const flags = Object.entries(commands).flatMap(([command, entry]) =>
  Object.values(entry.flags).map((flag) => ({ command, ...flag })),
)

/** Short flags of llama.cpp's programs, and what mq has besides. Source: common/arg.cpp. */
const meanings: Record<string, string> = {
  f: 'text', // -f, --file
  t: 'threads',
  c: 'ctx', // -c, --ctx-size
  o: 'output',
  n: 'max-tokens', // -n, --predict
  p: 'prompt',
  q: 'quiet',
  s: 'seed',
  r: 'repetitions', // of llama-bench
}

test('a short flag has one meaning in every command, that of llama.cpp', () => {
  const short = flags.filter(({ char }) => char !== undefined)
  expect(short.length).toBeGreaterThan(20)
  for (const { command, name, char } of short) expect([command, char, name]).toEqual([command, char, meanings[char as string]])
  for (const name of new Set(Object.values(meanings))) {
    const chars = new Set(flags.filter((flag) => flag.name === name).map(({ char }) => char))
    expect([name, chars.size]).toEqual([name, 1])
  }
})

test('every flag says what it does, and every optional value its default', () => {
  for (const { command, name, type, allowNo, description = '', required, default: value } of flags) {
    expect([command, name, description]).toEqual([command, name, expect.stringMatching(/^[A-Z].*\w.*[.\])]$/s)])
    const isComplete =
      (type === 'boolean' && allowNo !== true) ||
      required === true ||
      value !== undefined ||
      /\[default: .+\]|Either this or/.test(description)
    expect([command, name, isComplete]).toEqual([command, name, true])
  }
})

test.each(['bench', 'plan', 'verify', 'imatrix merge'])(
  'the help of mq %s ends the text of every flag with its default',
  async (command) => {
    const { stdout } = await runMqHere([...command.split(' '), '--help'])
    const usage = /USAGE\n {2}\$ (.+)\n/.exec(stdout)?.[1] ?? ''
    const entries = (/\nFLAGS\n([^]+?)\nGLOBAL/.exec(stdout)?.[1] ?? '').split(/\n+ +(?=(?:-\w, )?--)/)
    expect(usage).toMatch(new RegExp(`^mq ${command} .*\\[FLAGS\\]$`))
    expect(entries.length).toBeGreaterThan(1)
    for (const entry of entries)
      expect(entry.replaceAll(/\s+/g, ' ').trim()).toMatch(/^[^[]+(?:\[no-\][^[]+|\[:SCALE\][^[]+)?(?:\[default: .+\])?$/)
  },
)

test('mq plan --list shows types, presets, mixtures and roles', async () => {
  const { stdout } = await runCommand(PlanCommand, ['--list', '--json'])
  const { types, presets, mixtures, roles, groups } = JSON.parse(stdout) as Record<string, { name: string }[]>
  const names = (items: { name: string }[] = []): string[] => items.map(({ name }) => name)
  expect(names(types)).toEqual(expect.arrayContaining(['IQ1_S', 'Q4_K', 'MXFP4', 'BF16', 'F32']))
  expect(names(types)).not.toEqual(expect.arrayContaining(['Q8_1']))
  expect(names(presets)).toEqual(expect.arrayContaining(['Q4_K_M', 'IQ2_XXS', 'MXFP4_MOE']))
  expect(names(mixtures)).toEqual(expect.arrayContaining(['unsloth-q2_k_xl', 'bartowski-q4_k_l']))
  expect(names(roles)).toEqual(expect.arrayContaining(['embedding', 'attention-q', 'expert-down']))
  expect(names(groups)).toEqual(['attention', 'dense', 'shared', 'experts'])
  for (const [name, budget] of Object.entries({ Q4_K: 'chosen', Q2_0: 'candidate', F16: 'source' })) {
    expect(types).toContainEqual(expect.objectContaining({ name, budget }))
  }
  const { stdout: screen } = await runCommand(PlanCommand, ['--list'])
  for (const name of [types, presets, mixtures, roles, groups].flatMap((items) => names(items))) expect(screen).toContain(name)
  const { architectures, otherForms } = JSON.parse(stdout) as Record<string, string[]>
  expect(architectures).toContain('MistralForCausalLM')
  expect(otherForms).toEqual([expect.stringContaining('params.json')])
  expect(screen).toContain('params.json')
  // A name of ours for models without config.json, which no config.json has.
  expect(stdout + screen).not.toContain('MistralParams')
})

test.each([
  ['plan', '--size=3MB', '--preset=Q4_K_M'],
  ['plan', '--bits=3', '--fit=3GB'],
  ['plan', '--list', '--type=Q4_K'],
  ['quantize', '--mixture=unsloth-q2_k_xl', '--type=Q4_K'],
  ['quantize', '--size=3MB', '--plan=plan.json'],
])('mq %s refuses two goals: %s and %s', async (command, ...goals) => {
  const { exitCode, stderr } = await runMqHere([command, 'samples/llama-kjv', ...goals])
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining('cannot also be provided')])
})
