import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runMq } from '../support/run-mq.js'
import { temporaryFolder, writeTinyGguf } from '../support/tiny-model.js'

// Writes the address of every ES module that is loaded to stderr.
const hooks = `
  import { writeSync } from 'node:fs'
  export const load = (url, context, next) => (writeSync(2, 'loaded ' + url + '\\n'), next(url, context))`
const dataUrl = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`
const register = dataUrl(`import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hooks))})`)

/** The folders of src/ that a command loads. */
async function foldersOf(folder: string, ...args: string[]): Promise<Set<string>> {
  const env = { MQ_REGISTRY: join(folder, 'registry'), MQ_CACHE: join(folder, 'cache'), NODE_OPTIONS: `--import ${register}` }
  const { stderr, exitCode } = await runMq(args, { env })
  expect([args, exitCode]).toEqual([args, 0])
  return new Set([...stderr.matchAll(/^loaded file:.*\/dist\/src\/(.+)\/[^/]+\.js$/gm)].map(([, name = '']) => name))
}

test('a command loads the folders that it uses, and not the rest of the library', async () => {
  await using folder = await temporaryFolder()
  const gguf = await writeTinyGguf(folder.path, 'm.gguf')
  const listed = await foldersOf(folder.path, 'registry', 'ls')
  expect(listed).toContain('registry/store')
  for (const name of ['model', 'engine', 'plan', 'quantize', 'verify', 'runner']) expect(listed).not.toContain(name)
  const inspected = await foldersOf(folder.path, 'inspect', gguf)
  expect(inspected).toContain('model/inspect')
  for (const name of ['model/architectures', 'hub', 'engine', 'plan', 'registry']) expect(inspected).not.toContain(name)
  const planned = await foldersOf(folder.path, 'plan', '--list')
  expect(planned).toContain('plan')
  for (const name of ['hub', 'runner', 'report', 'quantize', 'verify', 'registry']) expect(planned).not.toContain(name)
})
