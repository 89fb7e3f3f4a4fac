import { expect, test } from 'vitest'
import Inspect from '../../commands/inspect.js'
import { inspectModel } from '../../src/model/inspect/index.js'
import { runCommand } from '../support/run-command.js'

const sample = 'samples/llama-kjv/model.safetensors'

test('tensors that differ in layers alone share a line', async () => {
  const { stdout, stderr, exitCode } = await runCommand(Inspect, [sample])
  expect(stdout).toContain('1 file, 8.40 MB, 39 tensors, 4.2 M weights, 16.00 bits per weight')
  expect(stdout).toMatch(/^model\.layers\.\{0-3\}\.mlp\.down_proj\.weight +4 +256 x 768 +BF16 +16\.00 +1\.57 MB$/m)
  expect(stdout).not.toContain('model.layers.2.')
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
})

test('--all gives every tensor its line', async () => {
  const { stdout } = await runCommand(Inspect, [sample, '--all'])
  expect(stdout.match(/^model\.layers\.2\./gm)).toHaveLength(9)
})

test('--json prints what the headers say', async () => {
  const { stdout } = await runCommand(Inspect, [sample, '--json'])
  expect(JSON.parse(stdout)).toEqual(await inspectModel(sample))
})

test('an error is one line and an exit status', async () => {
  expect(await runCommand(Inspect, ['samples/none.gguf'])).toEqual({
    stdout: '',
    stderr: 'mq: FILE_MISSING: samples/none.gguf does not exist. Check the path or URL.\n',
    exitCode: 3,
  })
})
