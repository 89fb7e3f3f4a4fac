import { expect, test } from 'vitest'
import type { Checkpoint } from '../../../../src/model/checkpoint/index.js'
import { cardMetadata, readModelCard } from '../../../../src/model/convert/model-card.js'

/** Only this file of the folder is read. */
function folderWith(readme: string): Checkpoint {
  const readBytes = async (name: string) => (name === 'README.md' ? new TextEncoder().encode(readme) : undefined)
  return { readBytes } as unknown as Checkpoint
}

const card = `---
license: other
license_name: tongyi-qianwen
license_link: https://example.org/LICENSE
language:
- en
- no
base_model: mistralai/Mistral-7B-v0.1
datasets:
- HuggingFaceH4/ultrachat_200k
- https://huggingface.co/datasets/x
tags:
- chat
- "1.0"
pipeline_tag: text-generation
widget:
- text: "Hello: world"
---
# A model
`

test('origin of a model in README.md, as gguf-py 0.7.0 reads it', async () => {
  const { card: fields, notes } = await readModelCard(folderWith(card))
  expect(notes).toEqual([])
  const entries = cardMetadata(fields, 7e9).map(([key, { value }]) => [key.replace('general.', ''), value])
  // What Metadata.apply_metadata_heuristic of gguf-py gives for this text, in the order of set_gguf_meta_model.
  expect(entries).toEqual([
    ['license', 'other'],
    ['license_name', 'tongyi-qianwen'],
    ['license_link', 'https://example.org/LICENSE'],
    ['base_model.count', 1],
    ['base_model.0.name', 'Mistral 7B v0.1'],
    ['base_model.0.version', 'v0.1'],
    ['base_model.0.organization', 'Mistralai'],
    ['base_model.0.repo_url', 'https://huggingface.co/mistralai/Mistral-7B-v0.1'],
    ['dataset.count', 2],
    ['dataset.0.name', 'Ultrachat_200K'],
    ['dataset.0.organization', 'HuggingFaceH4'],
    ['dataset.0.repo_url', 'https://huggingface.co/HuggingFaceH4/ultrachat_200k'],
    ['dataset.1.name', 'X'],
    ['dataset.1.organization', 'Datasets'],
    ['dataset.1.repo_url', 'https://huggingface.co/datasets/x'],
    ['tags', ['chat', '1.0', 'text-generation']],
    ['languages', ['en', 'no']],
  ])
})

test.for([
  ['no front matter', '# A model\n'],
  ['front matter without an end', '---\nlicense: mit\n'],
  ['a list', '---\n- mit\n---\n'],
  ['paths of a disk', '---\nbase_model:\n- /home/someone/models/mine\n- ../mine\n- C:\\models\\mine\n---\n'],
])('%s says nothing', async ([, readme]) => {
  const { card: fields, notes } = await readModelCard(folderWith(readme as string))
  expect([cardMetadata(fields, 0), notes]).toEqual([[], []])
})

test('front matter that is no YAML is named in a note', async () => {
  const { card: fields, notes } = await readModelCard(folderWith('---\nlicense: [mit\n---\n'))
  expect(fields).toEqual({})
  expect(notes).toEqual(['The front matter of README.md is not valid YAML: licence and tags are left out of the metadata.'])
})
