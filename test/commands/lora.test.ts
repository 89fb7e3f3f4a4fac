import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeAdapter } from '../support/adapters.js'
import { runMqHere } from '../support/run-mq-here.js'
import { samplePath } from '../support/sample-models.js'

let folder = ''
const query = 'model.layers.0.self_attn.q_proj'

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-lora-command-'))
  const config = JSON.parse(await readFile(join(samplePath('llama-kjv'), 'config.json'), 'utf8')) as { hidden_size: number }
  const { hidden_size: width } = config
  const tensors = { [`${query}.lora_A.weight`]: [4, width], [`${query}.lora_B.weight`]: [width, 4] }
  await writeAdapter(join(folder, 'Psalms'), { tensors })
  await writeAdapter(join(folder, 'Tuned'), { tensors, config: { peft_type: 'IA3' } })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const mq = (...args: string[]): ReturnType<typeof runMqHere> => runMqHere(args, { cwd: folder, env: { NODE_ENV: 'production' } })

test('an adapter is merged by convert and quantize alike, with and without a budget, and the same bytes come each time', async () => {
  const common = [samplePath('llama-kjv'), '--lora', 'Psalms:0.5']
  const converted = await mq('convert', ...common, '-o', 'merged.gguf')
  expect(converted).toMatchObject({ exitCode: 0 })
  expect(converted.stdout).toContain('--lora Psalms:0.5 --bits 4.5')
  expect(await mq('quantize', ...common, '--preset', 'Q4_K_M', '-o', 'direct.gguf', '--save-plan', 'plan.json')).toMatchObject({
    exitCode: 0,
  })
  expect(await mq('quantize', ...common, '--plan', 'plan.json', '-o', 'planned.gguf')).toMatchObject({
    exitCode: 0,
  })
  const files = await Promise.all(['direct.gguf', 'planned.gguf'].map((name) => readFile(join(folder, name))))
  expect(files[0]?.equals(files[1] as Buffer)).toBe(true)
  expect(await mq('convert', samplePath('llama-kjv'), '-o', 'base.gguf')).toMatchObject({ exitCode: 0 })
  const [merged, base] = await Promise.all(['merged.gguf', 'base.gguf'].map((name) => readFile(join(folder, name))))
  expect(merged?.equals(base as Buffer)).toBe(false)

  const other = await mq('quantize', samplePath('llama-kjv'), '--plan', 'plan.json', '-o', 'other.gguf')
  expect(other.exitCode).toBe(3)
  expect(other.stderr).toMatch(/PLAN_MISMATCH: .*with the adapter Psalms.*no adapter.*--lora/)
})

test('an adapter of another kind is refused by its name before any work', async () => {
  const { exitCode, stderr } = await mq('quantize', samplePath('llama-kjv'), '--lora', 'Tuned', '--type', 'Q4_K', '-o', 'x.gguf')
  expect({ exitCode, line: stderr.split('\n')[0] }).toMatchObject({
    exitCode: 3,
    line: expect.stringContaining('an IA3 adapter') as string,
  })
})
