import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkpointSpecs, writeCheckpointOf } from '../../bench/coverage/checkpoints/index.js'
import type { Blueprint } from '../../src/model/blueprint.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import { planPreset } from '../../src/plan/allocate/index.js'
import { planUniform } from '../../src/plan/plan-uniform.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { foreign } from '../support/foreign.js'

/** `[ 1/39] NAME - [..], type = bf16, size = .. (q6_K)`: the type at the end, or the one it has where it is left alone. */
const line = /\[ *\d+\/ *\d+\] +(\S+) +- \[[^\]]*\], type = +(\w+), [^[]*?size = [^\n]*?(?:\((\w+)\))?\s*\n/g

/** Samples, and tiny checkpoints of families whose tensors have names and places of their own. */
const models = [
  'llama-kjv',
  'deepseek-kjv-moe',
  'qwen3-next',
  'qwen3.5',
  'qwen3.5-moe',
  'gpt-oss-bf16',
  'gemma3n',
  'gemma4',
  'gemma4-moe',
  'mamba2',
  'jamba',
  'granite4-h-tiny',
  'nemotron3-super',
  'lfm2-moe',
  'rwkv7',
  'bert',
  'modern-bert',
  't5',
  'glm5',
  'mistral-small4',
]

const presets = ['Q4_K_M', 'Q3_K_L', 'Q2_K', 'IQ2_M', 'IQ3_XXS', 'IQ4_XS'] as const

async function sourceOf(name: string, folder: string): Promise<string> {
  const spec = checkpointSpecs.find((spec) => spec.name === name)
  return spec === undefined ? `samples/${name}` : await writeCheckpointOf(spec, folder)
}

/** The converter writes it as F32 whatever the type, and so does mq; llama-quantize quantizes it. See docs/decisions/0016. */
const staysF32 = /\.indexer\.proj\.weight /

describe.skipIf(!foreign.available).each(models)(`presets of %s (${foreign.name})`, (model) => {
  let folder = ''
  let blueprint: Blueprint

  /** What llama-quantize says of each preset, of one entry into the foreign programs: that takes longer than the programs themselves. */
  let said: ReadonlyMap<string, string>

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-presets-'))
    blueprint = await makeBlueprint(await sourceOf(model, folder))
    await finish(quantize({ blueprint, plan: planUniform(blueprint, blueprint.sourceType), output: join(folder, 'source.gguf') }))
    const script = 'for preset; do echo "= $preset"; llama-quantize --dry-run source.gguf "$preset" 2>&1 || exit; done'
    const { stdout } = await foreign.run('sh', ['-c', script, 'sh', ...presets], { cwd: folder })
    const parts = stdout.split(/^= /m).slice(1)
    said = new Map(parts.map((part) => [part.slice(0, part.indexOf('\n')), part]))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(presets)('%s is as llama-quantize says', (preset) => {
    const theirs = [...`${said.get(preset)}\n`.matchAll(line)].map(
      ([, name, kept, made]) => `${name} ${(made ?? kept)?.toUpperCase()}`,
    )
    const ours = planPreset(blueprint, preset).tensors.map(({ name, type }) => `${name} ${type}`)
    expect(theirs.length).toBeGreaterThan(0)
    const compared = (lines: readonly string[]): string[] => lines.filter((line) => !staysF32.test(line)).toSorted()
    expect(compared(ours)).toEqual(compared(theirs))
  })
})
