import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openGguf } from '../../formats/gguf/index.js'
import { blueprintOfAdapter, makeBlueprint } from '../../src/model/index.js'
import { planUniform, type UniformType } from '../../src/plan/plan-uniform.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { writeAdapter } from '../support/adapters.js'
import { foreign } from '../support/foreign.js'
import { samplePath } from '../support/sample-models.js'

const [base, width, wide, keys] = [samplePath('llama-kjv'), 256, 768, 128]
const shapes = {
  'self_attn.q_proj': [width, width],
  'self_attn.k_proj': [keys, width],
  'self_attn.v_proj': [keys, width],
  'self_attn.o_proj': [width, width],
  'mlp.gate_proj': [wide, width],
  'mlp.down_proj': [width, wide],
} as const

/** Upstream's script, which Debian leaves out of its packages: a path in $MQ_CONVERT_LORA. */
const script = process.env['MQ_CONVERT_LORA']

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-lora-gguf-'))
  const config = JSON.parse(await readFile(join(base, 'config.json'), 'utf8')) as Record<string, number>
  if (config['hidden_size'] !== width || config['intermediate_size'] !== wide) throw new Error('the sample has other shapes')
  const tensors = Object.entries(shapes).flatMap(([module, [outputs, inputs]]) => [
    [`model.layers.0.${module}.lora_A.weight`, [4, inputs]],
    [`model.layers.0.${module}.lora_B.weight`, [outputs, 4]],
  ])
  const embedding = { 'model.embed_tokens.lora_embedding_A': [4, 2048], 'model.embed_tokens.lora_embedding_B': [width, 4] }
  const card = '---\nbase_model: kjv-lab/llama-kjv\ntags:\n- lora\nlicense: apache-2.0\n---\n'
  await writeAdapter(join(folder, 'psalms-lora'), {
    tensors: { ...Object.fromEntries(tensors), ...embedding },
    config: { lora_alpha: 4 },
    files: { 'README.md': card },
  })
  await writeAdapter(join(folder, 'stable'), {
    tensors: Object.fromEntries(tensors),
    config: { lora_alpha: 2, use_rslora: true },
  })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function write(blueprint: Awaited<ReturnType<typeof makeBlueprint>>, type: UniformType, name: string): Promise<string> {
  const output = join(folder, name)
  await finish(quantize({ blueprint, plan: planUniform(blueprint, type), output, threads: 1, force: true }))
  return output
}

describe.skipIf(!foreign.available || !foreign.has('llama-perplexity'))(`llama-perplexity (${foreign.name})`, () => {
  it.each(['psalms-lora', 'stable'])('has the same perplexity with --lora %s as with the merged model', async (adapter) => {
    await write(await makeBlueprint(base), 'F32', 'base.gguf')
    await write(await makeBlueprint(base, { lora: [join(folder, adapter)] }), 'F32', 'merged.gguf')
    await write(await blueprintOfAdapter(base, join(folder, adapter)), 'F32', 'adapter.gguf')
    await cp(samplePath('text/kjv-heldout.txt'), join(folder, 'text.txt'))
    const perplexity = async (...args: string[]): Promise<number> => {
      const common = ['-f', 'text.txt', '-c', '128', '--chunks', '4', '-t', '1']
      // Its log is cut off now and then, when the program ends before the thread that writes it.
      for (let tries = 0; tries < 5; tries++) {
        const { stdout, stderr } = await foreign.run('llama-perplexity', [...args, ...common], { cwd: folder, timeout: 120_000 })
        const found = /\[4\]([\d.]+)/.exec(`${stdout}\n${stderr}`)?.[1]
        if (found !== undefined) return Number(found)
      }
      throw new Error('llama-perplexity printed no perplexity of the fourth chunk')
    }
    const merged = await perplexity('-m', 'merged.gguf')
    const apart = await perplexity('-m', 'base.gguf', '--lora', 'adapter.gguf')
    const without = await perplexity('-m', 'base.gguf')
    expect(apart / merged).toBeGreaterThan(0.9999)
    expect(apart / merged).toBeLessThan(1.0001)
    expect(Math.abs(Math.log(without / merged))).toBeGreaterThan(0.001)
  })
})

const why = script === undefined ? 'SKIPPED, set MQ_CONVERT_LORA to convert_lora_to_gguf.py of llama.cpp' : foreign.name
describe.skipIf(!foreign.available || script === undefined)(`convert_lora_to_gguf.py (${why})`, () => {
  it.each(['F32', 'F16', 'BF16', 'Q8_0'] as const)('writes the same file as %s, to the last byte', async (type) => {
    const ours = await write(await blueprintOfAdapter(base, join(folder, 'psalms-lora')), type, `ours.${type}.gguf`)
    await cp(base, join(folder, 'base'), { recursive: true })
    await writeFile(join(folder, 'convert.py'), await readFile(script ?? ''))
    const theirs = join(folder, `theirs.${type}.gguf`)
    const args = ['convert.py', '--base', 'base', '--outtype', type.toLowerCase(), '--outfile', theirs, 'psalms-lora']
    await foreign.run('python3', args, { cwd: folder, timeout: 120_000 })
    const [expected, found] = await Promise.all([openGguf(theirs), openGguf(ours)])
    await Promise.all([expected.close(), found.close()])
    expect([...found.metadata]).toEqual([...expected.metadata])
    expect(Buffer.compare(await readFile(ours), await readFile(theirs))).toBe(0)
  })
})
