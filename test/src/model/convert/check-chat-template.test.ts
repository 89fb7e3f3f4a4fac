import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { writeTinyCheckpoint } from '../../../support/tiny-checkpoint.js'
import { temporaryFolder } from '../../../support/tiny-model.js'

async function converted(template: unknown): Promise<{ readonly notes: readonly string[]; readonly template: unknown }> {
  await using folder = await temporaryFolder()
  await writeTinyCheckpoint(folder.path)
  await writeFile(join(folder.path, 'tokenizer_config.json'), JSON.stringify({ chat_template: template }))
  const { notes, metadata } = await makeBlueprint(folder.path)
  return { notes: notes.filter((note) => note.includes('Jinja')), template: metadata.get('tokenizer.chat_template')?.value }
}

test.each([
  '{% if messages %}no end',
  "{{ messages[0]['content' }}",
  '{%- for message in messages %}{{ message.content }}{% endfo %}',
])('a template that cannot be parsed is kept, and a note names the error: %s', async (source) => {
  const { notes, template } = await converted(source)
  expect(template).toBe(source)
  expect(notes).toEqual([expect.stringMatching(/^The chat template cannot be parsed as Jinja \(.{10,200}\): it is kept/)])
})

test('only the one of several templates that cannot be parsed is named', async () => {
  const usable = '{% for message in messages %}{{ message.content }}{% endfor %}'
  expect((await converted(usable)).notes).toEqual([])
  const { notes, template } = await converted([
    { name: 'default', template: usable },
    { name: 'tool_use', template: '{% for %}' },
  ])
  expect(template).toBe(usable)
  expect(notes).toEqual([expect.stringMatching(/^The chat template "tool_use" cannot/)])
})
