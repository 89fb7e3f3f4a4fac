import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { advice, adviceFor } from '../../commands/shared/advice.js'
import { errorTable, MqError } from '../../src/errors/index.js'

interface Manifest {
  readonly commands: Readonly<
    Record<string, { readonly flags: Readonly<Record<string, { readonly char?: string }>>; readonly args: object }>
  >
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const { commands } = JSON.parse(await readFile(`${root}/oclif.manifest.json`, 'utf8')) as Manifest

/** What is wrong with a command line that a message names, such as `mq plan --help`; undefined where nothing is. */
function problemOf(line: string): string | undefined {
  const words = line.split(/\s+/).slice(1)
  const id = [3, 2, 1].map((count) => words.slice(0, count).join(':')).find((name) => Object.hasOwn(commands, name))
  // `mq {command} --help`: the command that was called
  if (words[0] === '{command}') return words.slice(1).every((word) => word === '--help') ? undefined : 'more than --help'
  if (id === undefined) return 'there is no such command'
  const { flags } = commands[id] as Manifest['commands'][string]
  for (const word of words) {
    if (!word.startsWith('-') || word === '--help') continue
    const name = word.replace(/^--?(no-)?/, '').replace(/=.*/, '')
    const known = Object.entries(flags).some(([flag, { char }]) => (word.startsWith('--') ? flag === name : char === name))
    if (!known) return `${id} has no ${word}`
  }
  return undefined
}

const quoted = /`(mq [^`]*)`/g

const flagPattern = /(?<![\w-])--([a-z][\w-]*)/g
const flagsOf = (text: string): string[] =>
  [...text.replaceAll(/`[^`]*`/g, '').matchAll(flagPattern)].map(([, flag = '']) => flag)

test.each(Object.entries(errorTable))('what %s advises can be typed, and names no flag to a script', (code, entry) => {
  const { message, suggestion } = entry
  const advised = advice[code as keyof typeof advice] ?? []
  for (const [, line = ''] of [message, suggestion, ...advised].join(' ').matchAll(quoted))
    expect([line, problemOf(line)]).toEqual([line, undefined])
  // Those that the command line alone raises name `--help`.
  const ofCommands = /^(USAGE|FLAG_INVALID|FLAGS_CONFLICT)$/.test(code)
  if (!ofCommands) expect([...`${message} ${suggestion}`.matchAll(flagPattern)]).toEqual([])
})

test.each(Object.entries(advice))('each advice on %s is given by some command, which has all its flags', (_, texts) => {
  const taken = Object.values(commands).map(({ flags }) =>
    texts.findIndex((text) => flagsOf(text).every((flag) => Object.hasOwn(flags, flag))),
  )
  for (const index of texts.keys()) expect(taken).toContain(index)
})

test('an error is told in the flags of the command that was called, where it has them', () => {
  const error = MqError.of('TENSOR_OVERFLOW', { tensor: 'x', row: 1, type: 'F16' })
  expect(adviceFor(error, new Set(['type', 'tensor-type']))).toBe('Use BF16 or F32 for it, with --tensor-type.')
  expect(adviceFor(error, new Set(['type']))).toBe('Use BF16 or F32, with --type.')
  expect(adviceFor(error, new Set(['text']))).toBeUndefined()
})

test('commands that stand in the sources of src/ and commands/ can be typed', async () => {
  const lines: string[] = []
  for (const folder of ['src', 'commands']) {
    for (const name of await readdir(`${root}/${folder}`, { recursive: true })) {
      if (!name.endsWith('.ts') || name.endsWith('error-table.ts')) continue
      const text = await readFile(`${root}/${folder}/${name}`, 'utf8')
      for (const [, line = ''] of text.matchAll(/\\?`(mq [a-z][^`$\n\\]*)\\?`/g)) lines.push(`${name}: ${line}`)
    }
  }
  expect(lines.length).toBeGreaterThan(10)
  expect(lines.flatMap((line) => problemOf(line.replace(/^.*?: /, '')) ?? [])).toEqual([])
})
