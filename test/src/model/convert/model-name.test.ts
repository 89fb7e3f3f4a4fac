import { describe, expect, it } from 'vitest'
import { nameParts, titleOf } from '../../../../src/model/convert/model-name.js'

// Names and their parts are those of llama.cpp's gguf-py/tests/test_metadata.py, v0.5.0.

type Row = readonly [
  id: string,
  organization: string,
  basename: string,
  finetune: string,
  version: string,
  size: string,
  parameters?: number,
]

const rows: readonly Row[] = [
  ['Mistral/Mixtral-8x7B-Instruct-v0.1', 'Mistral', 'Mixtral', 'Instruct', 'v0.1', '8x7B'],
  ['Mixtral-8x7B-Instruct', '', 'Mixtral', 'Instruct', '', '8x7B'],
  ['Mixtral-8x7B-v0.1', '', 'Mixtral', '', 'v0.1', '8x7B'],
  ['Mixtral-v0.1', '', 'Mixtral', '', 'v0.1', ''],
  ['Mixtral', '', '', '', '', ''],
  ['NousResearch/Meta-Llama-3-8B', 'NousResearch', 'Meta-Llama-3', '', '', '8B'],
  ['Qwen1.5-MoE-A2.7B-Chat', '', 'Qwen1.5-MoE', 'Chat', '', 'A2.7B'],
  ['Qwen2-57B-A14B-Instruct', '', 'Qwen2', 'Instruct', '', '57B-A14B'],
  ['microsoft/Phi-3-mini-4k-instruct', 'microsoft', 'Phi-3', '4k-instruct', '', 'mini', 4e9],
  ['delphi-suite/stories-llama2-50k', 'delphi-suite', 'stories-llama2', '', '', '50K', 50e3],
  ['DeepSeek-Coder-V2-Lite-Instruct', '', 'DeepSeek-Coder-V2-Lite', 'Instruct', '', ''],
  ['crestf411/daybreak-kunoichi-2dpo-7b', 'crestf411', 'daybreak-kunoichi', '2dpo', '', '7B'],
  ['smallcloudai/Refact-1_6B-fim', 'smallcloudai', 'Refact', 'fim', '', '1.6B'],
  ['UCLA-AGI/Gemma-2-9B-It-SPPO-Iter3', 'UCLA-AGI', 'Gemma-2', 'It-SPPO', 'Iter3', '9B'],
  ['NousResearch/Hermes-2-Theta-Llama-3-8B', 'NousResearch', 'Hermes-2-Theta-Llama-3', '', '', '8B'],
  ['SeaLLMs/SeaLLMs-v3-7B-Chat', 'SeaLLMs', 'SeaLLMs-v3', 'Chat', '', '7B'],
  ['internlm/internlm2_5-7b-chat-1m', 'internlm', 'internlm2_5', 'chat-1m', '', '7B', 7e9],
  ['pszemraj/jamba-900M-v0.13-KIx2', 'pszemraj', 'jamba', 'KIx2', 'v0.13', '900M'],
  ['state-spaces/mamba-2.8b-hf', 'state-spaces', 'mamba', 'hf', '', '2.8B'],
  ['abacaj/llama-161M-100B', 'abacaj', 'llama', '100b', '', '161M', 161e6],
  ['SparseLLM/relu-100B', 'SparseLLM', 'relu', '100b', '', '', 1340e6],
]

describe('nameParts', () => {
  it.each(rows.map((row) => ({ row, id: row[0] })))('$id', ({ row }) => {
    const [id, organization, basename, finetune, version, sizeLabel, parameters = 0] = row
    const given = { organization, basename, finetune, version, sizeLabel }
    const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
    expect(nameParts(id, parameters)).toEqual({ name: id.replace(/^.*\//, ''), ...present })
  })

  it('takes a name of several words as it is', () => {
    expect(nameParts('My model of 7B', 0)).toEqual({ name: 'My model of 7B' })
  })
})

describe('titleOf', () => {
  it.each([
    ['Mixtral-8x7B-Instruct-v0.1', 'Mixtral 8x7B Instruct v0.1'],
    ['Meta-Llama-3-8B', 'Meta Llama 3 8B'],
    ['hermes-2-pro-llama-3-8b-DPO', 'Hermes 2 Pro Llama 3 8b DPO'],
  ])('%s', (name, title) => {
    expect(titleOf(name)).toBe(title)
  })
})
