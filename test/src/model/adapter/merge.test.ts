import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Codec } from '../../../../formats/ggml/codec.js'
import { type SafetensorsDtype, writeSafetensors } from '../../../../formats/safetensors/index.js'
import { adaptedCheckpoint, openAdapter } from '../../../../src/model/adapter/index.js'
import type { Model } from '../../../../src/model/architectures/index.js'
import { openCheckpoint } from '../../../../src/model/checkpoint/index.js'
import { type Blueprint, makeBlueprint } from '../../../../src/model/index.js'
import { checkPlan } from '../../../../src/plan/check-plan.js'
import { planUniform } from '../../../../src/plan/plan-uniform.js'
import { evaluateRows, readRecipe, rowCount } from '../../../../src/recipe/index.js'
import { adapterValues, product, writeAdapter } from '../../../support/adapters.js'
import { openBlueprintFiles, valuesOf } from '../../../support/blueprint-files.js'
import { llama3Rope, mistralLinear } from '../../../support/checkpoint-variants.js'
import { writeCheckpoint } from '../../../support/checkpoints.js'

let folder: string
let base: string
let tied: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-lora-'))
  base = await writeCheckpoint(join(folder, 'base'), mistralLinear)
  tied = await writeCheckpoint(join(folder, 'tied'), llama3Rope)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Each value is that of the base plus the change, rounded to F32 twice at most. */
function expectSum(found: Float32Array, before: Float32Array, change: Float64Array): void {
  expect(found.length).toBe(before.length)
  found.forEach((value, at) => {
    const [own, added] = [before[at] as number, change[at] as number]
    expect(Math.abs(value - (own + added))).toBeLessThanOrEqual(2 ** -22 * (Math.abs(own) + Math.abs(added)))
  })
}

const down = 'model.layers.0.mlp.down_proj'
const [a, b] = [
  [4, 64],
  [128, 4],
] as const
const ofDown = { [`${down}.lora_A.weight`]: a, [`${down}.lora_B.weight`]: b }
const changeOfDown = (scale: number): Float64Array =>
  product(adapterValues(`${down}.lora_B.weight`, b), adapterValues(`${down}.lora_A.weight`, a), 4, scale)

describe('a merged weight', () => {
  it.each([
    ['lora_alpha / r', {}, '', 2],
    ['a rank-stabilised scaling', { use_rslora: true }, '', 4],
    ['an alpha of its own', { alpha_pattern: { 'mlp.down_proj': 3 } }, '', 0.75],
    ['an alpha of another module', { alpha_pattern: { own_proj: 3 } }, '', 2],
    ['a rank of its own', { r: 9, rank_pattern: { 'layers\\.0\\.mlp.*': 4 } }, '', 2],
    ['a scale behind its path', {}, ':0.25', 0.5],
    ['a scale below 0', {}, ':-1', -2],
  ])('is that of the base plus B A times %s', async (name, config, suffix, scale) => {
    const path = await writeAdapter(join(folder, name.replaceAll('/', ' ')), { config, tensors: ofDown })
    const [before, merged] = [await makeBlueprint(base), await makeBlueprint(base, { lora: [path + suffix] })]
    const place = 'blk.0.ffn_down.weight'
    expectSum(await valuesOf(merged, place), await valuesOf(before, place), changeOfDown(scale))
    expect(merged.tensors.map(({ name, shape }) => [name, shape])).toEqual(before.tensors.map(({ name, shape }) => [name, shape]))
    // Nothing else changes.
    const others = (blueprint: Blueprint): unknown[] =>
      blueprint.tensors.filter(({ name }) => name !== place).map(({ recipe }) => recipe)
    expect(others(merged)).toEqual(others(before))
  })

  it('is that of the weight file alone, too, and of two adapters in order', async () => {
    const one = await writeAdapter(join(folder, 'one'), { tensors: ofDown })
    const lora = [join(one, 'adapter_model.safetensors'), `${one}:2`]
    const merged = await makeBlueprint(base, { lora })
    const place = 'blk.0.ffn_down.weight'
    expectSum(await valuesOf(merged, place), await valuesOf(await makeBlueprint(base), place), changeOfDown(6))
    expect(merged.adapters?.map(({ scale }) => scale)).toEqual([1, 2])
  })

  it('is turned with the rows of the base, as queries are', async () => {
    const query = 'model.layers.0.self_attn.q_proj'
    const tensors = { [`${query}.lora_A.weight`]: [4, 128], [`${query}.lora_B.weight`]: [128, 4] }
    const path = await writeAdapter(join(folder, 'query'), { tensors })
    const [before, merged] = [await makeBlueprint(base), await makeBlueprint(base, { lora: [path] })]
    const change = product(
      adapterValues(`${query}.lora_B.weight`, [128, 4]),
      adapterValues(`${query}.lora_A.weight`, [4, 128]),
      4,
      2,
    )
    // Row 2j + i of a head of 32 rows is row i * 16 + j.
    const turned = change.map((_, at) => {
      const [row, column] = [Math.floor(at / 128), at % 128]
      const inHead = row % 32
      return change[(row - inHead + (inHead % 2) * 16 + Math.floor(inHead / 2)) * 128 + column] as number
    })
    const own = await valuesOf(merged, 'blk.0.attn_q.weight')
    expectSum(own, await valuesOf(before, 'blk.0.attn_q.weight'), turned)
    expect(own).not.toEqual(await valuesOf(before, 'blk.0.attn_q.weight'))
  })

  it('has no more than bits for its values as the limit of a budget: a base of few bits gains by its change', async () => {
    const cases = JSON.parse(await readFile(new URL('../../../golden/storages/storages.json', import.meta.url), 'utf8')) as {
      name: string
      config: object
      tensors: Record<string, [SafetensorsDtype, number[], string]>
      weight: string
      shape: [number, number]
      values: string
    }[]
    const some = cases.filter(({ shape }) => shape.length === 2)
    expect(some.length).toBeGreaterThan(20)
    for (const { name, config, tensors, weight, shape, values } of some) {
      const place = join(folder, 'storage')
      await rm(place, { recursive: true, force: true })
      const module = weight.replace(/\.weight$/, '')
      const [outputs, inputs] = shape
      const adapter = await writeAdapter(place, {
        tensors: { [`${module}.lora_A.weight`]: [4, inputs], [`${module}.lora_B.weight`]: [outputs, 4] },
      })
      await writeFile(join(place, 'config.json'), JSON.stringify(config))
      await writeSafetensors(
        join(place, 'model.safetensors'),
        Object.entries(tensors).map(([name, [dtype, shape, data]]) => ({
          name,
          dtype,
          shape,
          data: Buffer.from(data, 'base64'),
        })),
      )
      const model = { rename: (name: string) => name, expected: new Map() } as unknown as Model
      const opened = await openAdapter({ path: adapter, scale: 1 })
      const { checkpoint } = await adaptedCheckpoint(await openCheckpoint(place), model, [opened])
      const recipe = readRecipe(JSON.parse(JSON.stringify(checkpoint.tensor(weight))))
      await using files = await openBlueprintFiles(checkpoint)
      const found = await evaluateRows(recipe, 0, rowCount(recipe), files.read, {} as Codec)
      const bytes = Buffer.from(values, 'base64')
      const before = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
      const change = product(
        adapterValues(`${module}.lora_B.weight`, [outputs, 4]),
        adapterValues(`${module}.lora_A.weight`, [4, inputs]),
        4,
        2,
      )
      expect(found.length, name).toBe(before.length)
      expectSum(found, before, change)
    }
  })
})

describe('tensors that an adapter brings whole', () => {
  it('add rows to the vocabulary, with the tokenizer beside them', async () => {
    const tokenizer = JSON.parse(await readFile(join(base, 'tokenizer.json'), 'utf8')) as { added_tokens: object[] }
    const token = { ...tokenizer.added_tokens[0], id: 2048, content: '<|mine|>', special: true }
    const path = await writeAdapter(join(folder, 'grown'), {
      tensors: { 'model.embed_tokens.weight': [2084, 128], 'lm_head.weight': [2084, 128] },
      config: { modules_to_save: ['embed_tokens', 'lm_head'] },
      files: { 'tokenizer.json': { ...tokenizer, added_tokens: [...tokenizer.added_tokens, token] } },
    })
    const merged = await makeBlueprint(base, { lora: [path] })
    const embedding = merged.tensors.find(({ name }) => name === 'token_embd.weight')
    expect(embedding?.shape).toEqual([2084, 128])
    expect(await valuesOf(merged, 'output.weight')).toEqual(adapterValues('lm_head.weight', [2084, 128]))
    const tokens = merged.metadata.get('tokenizer.ggml.tokens')?.value as string[]
    expect([tokens.length, tokens[2048]]).toEqual([2084, '<|mine|>'])
  })

  it('are an output matrix of a model that had none, and a trained embedding leaves the old one as it was', async () => {
    const head = await writeAdapter(join(folder, 'head'), { tensors: { 'lm_head.weight': [2048, 96] } })
    const merged = await makeBlueprint(tied, { lora: [head] })
    expect(await valuesOf(merged, 'output.weight')).toEqual(adapterValues('lm_head.weight', [2048, 96]))
    const embedding = await writeAdapter(join(folder, 'embedding'), { tensors: { 'model.embed_tokens.weight': [2048, 96] } })
    const other = await makeBlueprint(tied, { lora: [embedding] })
    expect(await valuesOf(other, 'output.weight')).toEqual(await valuesOf(await makeBlueprint(tied), 'token_embd.weight'))
    expect(await valuesOf(other, 'token_embd.weight')).toEqual(adapterValues('model.embed_tokens.weight', [2048, 96]))
    expect(other.notes.join(' ')).toContain('the GGUF file holds both')
    // What an earlier adapter changed of the matrix that was both stays in the output matrix.
    const low = await writeAdapter(join(folder, 'low'), {
      tensors: { 'model.embed_tokens.lora_embedding_A': [4, 2048], 'model.embed_tokens.lora_embedding_B': [96, 4] },
    })
    const changed = await valuesOf(await makeBlueprint(tied, { lora: [low] }), 'token_embd.weight')
    expect(changed).not.toEqual(await valuesOf(await makeBlueprint(tied), 'token_embd.weight'))
    const both = await makeBlueprint(tied, { lora: [low, embedding, embedding] })
    expect(await valuesOf(both, 'output.weight')).toEqual(changed)
    expect(await valuesOf(both, 'token_embd.weight')).toEqual(adapterValues('model.embed_tokens.weight', [2048, 96]))
  })
})

describe('an adapter that cannot be merged is refused before any work, by name', () => {
  const cases: [string, Parameters<typeof writeAdapter>[1], string, RegExp][] = [
    ['IA3', { config: { peft_type: 'IA3' }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /an IA3 adapter/],
    ['LoHa', { config: { peft_type: 'LOHA' }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /a LoHa adapter/],
    ['prefix', { config: { peft_type: 'PREFIX_TUNING' }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /a prefix tuning adapter/],
    ['unheard', { config: { peft_type: 'NEWEST' }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /of the kind NEWEST/],
    ['PiSSA', { config: { init_lora_weights: 'pissa_niter_4' }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /pissa_niter_4/],
    ['aLoRA', { config: { alora_invocation_tokens: [1] }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /aLoRA/],
    ['replicated', { config: { layer_replication: [[0, 1]] }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /layer_replication/],
    ['MLX', { config: { peft_type: undefined, lora_parameters: { rank: 8 } }, tensors: ofDown }, 'ADAPTER_UNSUPPORTED', /MLX/],
    ['AdaLoRA tensors', { tensors: { ...ofDown, [`${down}.lora_E`]: [4, 1] } }, 'ADAPTER_UNSUPPORTED', /AdaLoRA/],
    ['half', { tensors: { [`${down}.lora_A.weight`]: a } }, 'ADAPTER_INVALID', /one of the two matrices/],
    ['ranks', { tensors: { ...ofDown, [`${down}.lora_B.weight`]: [128, 3] } }, 'ADAPTER_INVALID', /the ranks 4 and 3/],
    ['stated rank', { config: { r: 8 }, tensors: ofDown }, 'ADAPTER_INVALID', /rank 8, and its weights have 4/],
    ['DoRA without magnitudes', { config: { use_dora: true }, tensors: ofDown }, 'ADAPTER_INVALID', /no magnitudes/],
    ['gathered badly', { tensors: { ...ofDown, [`${down}.lora_A.weight`]: [256] } }, 'ADAPTER_INVALID', /1 and 2 dimensions/],
    ['convolution', { tensors: { ...ofDown, [`${down}.lora_A.weight`]: [4, 64, 3] } }, 'ADAPTER_UNSUPPORTED', /convolutions/],
    [
      'another module',
      { tensors: { 'model.layers.7.mlp.down_proj.lora_A.weight': a, 'model.layers.7.mlp.down_proj.lora_B.weight': b } },
      'ADAPTER_MISMATCH',
      /changes model\.layers\.7\.mlp\.down_proj, which the model does not have/,
    ],
    [
      'another width',
      { tensors: { ...ofDown, [`${down}.lora_A.weight`]: [4, 65] } },
      'ADAPTER_MISMATCH',
      /128 outputs and 65 inputs.*\[128, 64\]/,
    ],
    ['another norm', { tensors: { 'model.norm.weight': [64] } }, 'ADAPTER_MISMATCH', /model\.norm\.weight has the shape \[64\]/],
    ['a foreign tensor', { tensors: { 'vision.weight': [4] } }, 'ADAPTER_MISMATCH', /vision\.weight/],
  ]
  it.each(cases)('%s', async (name, adapter, code, problem) => {
    const path = await writeAdapter(join(folder, `refused ${name}`), adapter)
    const thrown = await makeBlueprint(base, { lora: [path] }).then(
      () => undefined,
      (error: unknown) => error as Error,
    )
    expect(thrown).toMatchObject({ code })
    expect(thrown?.message).toMatch(problem)
  })

  it('a pickle, a model, and one for a GGUF', async () => {
    const empty = join(folder, 'pickled')
    await writeAdapter(empty, { tensors: ofDown, files: { 'adapter_model.bin': 'x' } })
    await rm(join(empty, 'adapter_model.safetensors'))
    await expect(makeBlueprint(base, { lora: [empty] })).rejects.toMatchObject({ code: 'CHECKPOINT_PICKLED' })
    await expect(makeBlueprint(base, { lora: [tied] })).rejects.toThrow(/it is a model and no adapter/)
    await writeFile(join(folder, 'x.gguf'), 'GGUF')
    const lora = [join(folder, 'one')]
    await expect(makeBlueprint(join(folder, 'x.gguf'), { lora })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})

describe('what is known of adapters', () => {
  it('stands in metadata and name, with the base as parent', async () => {
    const path = await writeAdapter(join(folder, 'Psalms'), { tensors: ofDown })
    const { metadata, notes } = await makeBlueprint(base, { lora: [path] })
    const valueOf = (key: string): unknown => metadata.get(`general.${key}`)?.value
    expect(valueOf('name')).toBe('Base Psalms')
    expect(valueOf('finetune')).toBe('Psalms')
    expect(valueOf('base_model.0.repo_url')).toBe('https://huggingface.co/org/base')
    expect(notes[0]).toMatch(/^Merged the adapter Psalms \(SHA-256 [0-9a-f]{12}\): it changes 1 modules\.$/)
  })

  it('is part of a plan, which is for no other adapters', async () => {
    const [path, other] = [
      await writeAdapter(join(folder, 'planned'), { tensors: ofDown }),
      await writeAdapter(join(folder, 'other'), { tensors: ofDown, config: { lora_alpha: 9 } }),
    ]
    const merged = await makeBlueprint(base, { lora: [path] })
    const plan = planUniform(merged, 'BF16')
    expect(plan.adapters).toEqual([{ name: 'planned', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string, scale: 1 }])
    expect(checkPlan(plan, merged).adapters).toEqual(plan.adapters)
    for (const lora of [[], [other], [`${path}:2`]]) {
      const another = await makeBlueprint(base, { lora })
      expect(() => checkPlan(plan, another)).toThrow(/--lora|for the model with the adapter planned/)
    }
  })
})
