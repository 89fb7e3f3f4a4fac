import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeSafetensors } from '../../formats/safetensors/index.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import { makePlan } from '../../src/plan/make-plan.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { type CheckpointSpec, checkpointSpecs } from '../coverage/checkpoints/index.js'
import { parseTensors } from '../coverage/checkpoints/spec.js'
import { fillTensor } from '../coverage/checkpoints/values.js'
import { foreign } from '../foreign.js'
import { repositoryPath } from '../quality-subject.js'
import { servedTokens } from './serve.js'

/** Sizes of a model like gpt-oss; its hidden_size and intermediate_size are 2880. */
export interface OssSizes {
  readonly hidden: number
  readonly experts: number
  readonly layers: number
}

/** What became of a model like gpt-oss in one pass. */
export interface OssResult {
  readonly weights: number
  /** The least bits per weight of the model as it is, from the message that refuses fewer. */
  readonly least: string
  readonly bitsPerWeight: number
  readonly bytes: number
  readonly seconds: number
  readonly notes: readonly string[]
  /** Tokens that llama-server predicted with the file; undefined where it is not there. */
  readonly served: number | undefined
}

const spec = checkpointSpecs.find(({ name }) => name === 'gpt-oss-bf16') as CheckpointSpec

/** The pre-tokenizer of these checkpoints. */
export const ossPre = spec.pre

/** Writes a checkpoint with gpt-oss's tensors in BF16, quantizes it to a number of bits per weight, and has llama-server run it. */
export async function benchOss(folder: string, sizes: OssSizes, bits: number, threads?: number): Promise<OssResult> {
  const source = await writeOss(folder, sizes)
  const blueprint = await makeBlueprint(source, { pre: spec.pre })
  const request = { kind: 'bits', bits } as const
  let least = ''
  try {
    await finish(makePlan(blueprint, request, { threads, widen: 'none' }))
  } catch (error) {
    least = (error as Error).message
  }
  const startedAt = performance.now()
  const plan = await finish(makePlan(blueprint, request, { threads }))
  const output = join(folder, 'oss.gguf')
  const { sizeBytes, notes } = await finish(quantize({ blueprint, plan, output, threads, force: true }))
  return {
    weights: blueprint.tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    least,
    bitsPerWeight: plan.bitsPerWeight,
    bytes: sizeBytes,
    seconds: (performance.now() - startedAt) / 1000,
    notes: [...plan.notes, ...notes],
    served: foreign.available && foreign.has('llama-server') ? await servedTokens(output) : undefined,
  }
}

/** Writes a checkpoint with the tensors of gpt-oss. @returns its folder. */
export async function writeOss(parent: string, { hidden, experts, layers }: OssSizes): Promise<string> {
  const cases = repositoryPath('bench/coverage/checkpoints/cases/gpt-oss-bf16')
  const config = JSON.parse(await readFile(join(cases, 'config.json'), 'utf8')) as Record<string, unknown>
  const keyValueHeads = Math.floor(hidden / 360)
  const [heads, headLength] = [8 * keyValueHeads, 64]
  const layer = `model.layers.{0-${layers - 1}}`
  const tensors = `
    model.embed_tokens.weight ${String(config['vocab_size'])} ${hidden}
    ${layer}.self_attn.sinks ${heads}
    ${layer}.self_attn.q_proj.weight ${heads * headLength} ${hidden}
    ${layer}.self_attn.q_proj.bias ${heads * headLength}
    ${layer}.self_attn.{k,v}_proj.weight ${keyValueHeads * headLength} ${hidden}
    ${layer}.self_attn.{k,v}_proj.bias ${keyValueHeads * headLength}
    ${layer}.self_attn.o_proj.weight ${hidden} ${heads * headLength}
    ${layer}.self_attn.o_proj.bias ${hidden}
    ${layer}.mlp.router.weight ${experts} ${hidden}
    ${layer}.mlp.router.bias ${experts}
    ${layer}.mlp.experts.gate_up_proj ${experts} ${hidden} ${2 * hidden}
    ${layer}.mlp.experts.gate_up_proj_bias ${experts} ${2 * hidden}
    ${layer}.mlp.experts.down_proj ${experts} ${hidden} ${hidden}
    ${layer}.mlp.experts.down_proj_bias ${experts} ${hidden}
    ${layer}.input_layernorm.weight ${hidden}
    ${layer}.post_attention_layernorm.weight ${hidden}
    model.norm.weight ${hidden}
    lm_head.weight ${String(config['vocab_size'])} ${hidden}`.replace(/^(.*)\{k,v\}(.*)$/gm, '$1k$2\n$1v$2')
  const folder = join(parent, 'oss')
  await mkdir(folder, { recursive: true })
  const filled = parseTensors(tensors, 'BF16').map((tensor) => fillTensor(tensor, spec.name, spec.values))
  await writeSafetensors(join(folder, 'model.safetensors'), filled, new Map([['format', 'pt']]))
  const sized = {
    ...config,
    hidden_size: hidden,
    intermediate_size: hidden,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: headLength,
    num_local_experts: experts,
    num_hidden_layers: layers,
    layer_types: Array.from({ length: layers }, (_, at) => (at % 2 === 0 ? 'sliding_attention' : 'full_attention')),
  }
  for (const [name, content] of Object.entries({ 'config.json': sized, ...spec.files })) {
    await writeFile(
      join(folder, name),
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    )
  }
  return folder
}
