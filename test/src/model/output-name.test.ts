import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Metadata } from '../../../formats/gguf/index.js'
import { outputName, outputPath } from '../../../src/model/output-name.js'

function metadata(entries: Readonly<Record<string, string>>): Metadata {
  return new Map(Object.entries(entries).map(([key, value]) => [`general.${key}`, { type: 'string', value }]))
}

// Expected names are those of naming_convention in gguf-py/gguf/utility.py, and of the examples in ggml's docs/gguf.md.
test.each([
  [{ name: 'Llama Kjv', size_label: '4.2M' }, 'F16', 'Llama-Kjv-4.2M-F16.gguf'],
  [{ basename: 'Mixtral', version: 'v0.1', size_label: '8x7B' }, 'Q2_K', 'Mixtral-8x7B-v0.1-Q2_K.gguf'],
  [
    { basename: 'Hermes 2 Pro Llama-3', name: 'unused', size_label: '8B', finetune: 'Instruct', version: 'v2' },
    'F16',
    'Hermes-2-Pro-Llama-3-8B-Instruct-v2-F16.gguf',
  ],
  // A name of one part that begins with a digit, which is taken for a finetune, too.
  [{ name: '4chan', size_label: '7B', finetune: '4chan' }, 'F16', '4chan-7B-F16.gguf'],
  [{}, 'BF16', 'ggml-model-BF16.gguf'],
])('%j in %s is %s', (entries, encoding, name) => {
  expect(outputName(metadata(entries), encoding)).toBe(name)
})

test('a name never leads out of its folder', () => {
  expect(outputName(metadata({ name: '../../etc/passwd' }), 'F16')).toBe('etc-passwd-F16.gguf')
  expect(outputName(metadata({ name: 'a\u0000b\nc' }), 'F16')).toBe('a-b-c-F16.gguf')
  expect(outputName(metadata({ name: '/' }), '')).toBe('ggml-model.gguf')
  expect(outputName(metadata({ name: 'x'.repeat(1000) }), 'F16').length).toBeLessThan(220)
})

test('a folder is where the file goes, anything else is the file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mq-name-'))
  expect(await outputPath(folder, 'a.gguf')).toBe(join(folder, 'a.gguf'))
  expect(await outputPath(join(folder, 'b.gguf'), 'a.gguf')).toBe(join(folder, 'b.gguf'))
  expect(await outputPath(undefined, 'a.gguf')).toBe('a.gguf')
  await rm(folder, { recursive: true })
})
