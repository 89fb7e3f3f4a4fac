import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = (
  await Promise.all(
    [
      '.',
      'docs',
      'docs/decisions',
      'samples',
      'samples/calibration',
      'samples/mixtures',
      'samples/text',
      'samples/llama-kjv',
      'samples/deepseek-kjv-moe',
    ].map(async (folder) =>
      (await readdir(join(root, folder))).filter((name) => name.endsWith('.md')).map((name) => join(folder, name)),
    ),
  )
).flat()

describe.each(pages)('%s', (page) => {
  test('has links that lead somewhere', async () => {
    const text = await readFile(join(root, page), 'utf8')
    const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, link = '']) => link)
    const local = links.filter((link) => !/^[a-z]+:/.test(link))
    expect(local.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([])
  })

  test('names files and folders that there are', async () => {
    const text = await readFile(join(root, page), 'utf8')
    const named = [...text.matchAll(/(?<![\w./])((?:src|commands|formats|bench|test|samples|docs)\/[\w./-]*[\w/])(?![\w*])/g)]
    // NAME stands for any name
    const paths = named.map(([, path = '']) => path).filter((path) => !path.includes('NAME'))
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})

test('docs/architecture.md names every folder of src/, in the order of imports', async () => {
  const text = await readFile(join(root, 'docs/architecture.md'), 'utf8')
  const table = text.slice(text.indexOf('## Code layout'))
  const folders = (await readdir(join(root, 'src'), { withFileTypes: true })).filter((entry) => entry.isDirectory())
  const rowOf = (folder: string): number => table.split('\n').findIndex((line) => line.split('|')[1]?.includes(`\`${folder}/\``))
  expect(folders.filter(({ name }) => rowOf(`src/${name}`) < 0).map(({ name }) => name)).toEqual([])
  const { importProblem } = (await import(`${relative(dirname(fileURLToPath(import.meta.url)), root)}/.lint/layers.js`)) as {
    importProblem: (from: string, to: string) => string | undefined
  }
  for (const { name: from } of folders) {
    for (const { name: to } of folders) {
      if (from === to) continue
      const allowed = importProblem(`src/${from}/a.ts`, `src/${to}/index.ts`) === undefined
      if (allowed) expect([from, to, rowOf(`src/${to}`) < rowOf(`src/${from}`)]).toEqual([from, to, true])
    }
  }
})
