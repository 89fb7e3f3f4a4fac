import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { errorTable } from '../../src/errors/index.js'

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

test.each(Object.entries(errorTable))('what %s advises can be typed', (_, { message, suggestion }) => {
  for (const [, line = ''] of `${message} ${suggestion}`.matchAll(quoted))
    expect([line, problemOf(line)]).toEqual([line, undefined])
  // a flag that stands alone belongs to some command
  for (const [flag] of suggestion.replaceAll(quoted, '').matchAll(/(?<![\w-])--[a-z][\w-]*/g)) {
    const known = Object.values(commands).some(({ flags }) => Object.hasOwn(flags, flag.replace(/^--(no-)?/, '')))
    // flags of llama.cpp's own programs are named beside them
    if (!/llama-/.test(suggestion)) expect([flag, known]).toEqual([flag, true])
  }
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
