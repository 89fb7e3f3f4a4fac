import type { MetadataValue } from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import { elementCount, lowRank, multiply, type Recipe, type Shape, sameShape, showShape, transpose } from '../../recipe/index.js'
import { type AdaptedModule, type Adapter, mismatch, openAdapter, pairOf, readAdapterSpec, valuesOf } from '../adapter/index.js'
import { describeModel, float32, type Model, text, uint32 } from '../architectures/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import { type Checkpoint, type CheckpointFolder, openConfig } from '../checkpoint/index.js'
import { layerOfTensor } from '../roles.js'
import { cardMetadata, readModelCard } from './model-card.js'
import { nameParts, titleOf } from './model-name.js'

/**
 * The blueprint of a LoRA adapter as a GGUF file of its own, for `--lora` of llama.cpp's programs: `NAME.lora_a` and `NAME.lora_b` for each
 * tensor that it changes. Of the base only the configuration is read. Source: convert_lora_to_gguf.py of llama.cpp.
 *
 * llama.cpp scales by adapter.lora.alpha / rank. Where the adapter scales otherwise (rank-stabilised, alphas by module), alpha is what makes
 * it the same; where one alpha cannot, the second matrices are multiplied by what is missing.
 * @param base the checkpoint that the adapter belongs to, by its folder; config.json is enough.
 * @throws MqError ADAPTER_INVALID, ADAPTER_UNSUPPORTED for what such a file cannot hold, ADAPTER_MISMATCH, and what reading a configuration throws.
 */
export async function blueprintOfAdapter(base: string | CheckpointFolder, path: string): Promise<Blueprint> {
  const adapter = await openAdapter(await readAdapterSpec(path), 'apart')
  const names = [...adapter.modules.keys()].map((module) => `${module}.weight`)
  const shapes = new Map<string, Shape>(
    names.map((name) => [name, shapeOf(adapter.modules.get(name.slice(0, -'.weight'.length)) as AdaptedModule)]),
  )
  for (const [name, { shape, isBase }] of adapter.saved) if (!isBase) shapes.set(name, shape)
  const checkpoint = await openConfig(base, shapes)
  const model = await describeModel(checkpoint)
  const { alpha, factorOf } = alphaOf(adapter)
  if (alpha === 0 && adapter.modules.size > 0) throw unsupported(adapter, 'whose scaling is 0, which llama.cpp reads as 1,')
  const kept = adapterTensors(adapter, checkpoint, model, factorOf)
  const tensors = kept.map(({ name, recipe, keepF32 }): BlueprintTensor => {
    const layer = layerOfTensor(name)
    return { name, shape: recipe.shape, role: 'other', ...(layer !== undefined && { layer }), keepF32, recipe }
  })
  const parameters = -countOf(tensors)
  const { card, notes } = await readModelCard({ readBytes: (file) => adapter.folder.readBytes(file) })
  return {
    architecture: model.architecture,
    layers: model.layers,
    experts: 0,
    metadata: new Map<string, MetadataValue>([
      ['general.architecture', text(model.architecture)],
      ['general.type', text('adapter')],
      ['adapter.type', text('lora')],
      ...namesOf(adapter, parameters),
      ...cardMetadata(card, parameters),
      ['adapter.lora.alpha', float32(alpha)],
      ...invocationTokens(adapter),
      ['general.quantization_version', uint32(2)],
    ]),
    files: [adapter.file],
    tensors,
    sourceType: [...adapter.modules.values()].some(({ a }) => a.dtype === 'BF16') ? 'BF16' : 'F16',
    notes: [...notes, ...scaleNotes(adapter, alpha)],
  }
}

/** Weights have outputs as rows; of an embedding, tokens. */
function shapeOf({ a, b, isEmbedding }: AdaptedModule): readonly [number, number] {
  const [outputs = 0, inputs = 0] = [b.shape[0], a.shape[1]]
  return isEmbedding ? [inputs, outputs] : [outputs, inputs]
}

/** The alpha of the file, and what is missing of each module's own scaling. */
function alphaOf({ config, modules, scale }: Adapter): { alpha: number; factorOf: (module: string) => number } {
  const wanted = new Map(
    [...modules].map(([name, { a }]) => {
      const rank = a.shape[0] ?? 0
      return [name, config.scalingOf(name, rank) * rank * scale]
    }),
  )
  const [first = config.alpha] = [...wanted.values()]
  const isOne = [...wanted.values()].every((alpha) => Math.abs(alpha - first) < 1e-9 * Math.abs(first))
  const alpha = isOne ? first : ([...wanted.values()].find((each) => each !== 0) ?? 0)
  return { alpha, factorOf: (module) => (isOne ? 1 : (wanted.get(module) ?? alpha) / alpha) }
}

function scaleNotes({ config, scale }: Adapter, alpha: number): string[] {
  if (alpha === config.alpha) return []
  return [
    `adapter.lora.alpha is ${alpha}, with which llama.cpp's alpha / rank is the adapter's own scaling${scale === 1 ? '' : ` times ${scale}`}; lora_alpha is ${config.alpha}.`,
  ]
}

interface AdapterTensor {
  readonly name: string
  readonly recipe: Recipe
  readonly keepF32: boolean
}

function adapterTensors(
  adapter: Adapter,
  checkpoint: Checkpoint,
  model: Model,
  factorOf: (module: string) => number,
): AdapterTensor[] {
  const kept: AdapterTensor[] = []
  for (const [name, saved] of adapter.saved) {
    if (saved.isBase) continue
    // As upstream: norms are kept, and llama.cpp passes over them; other tensors have no place in such a file.
    if (!/_layernorm|\.norm/.test(name)) {
      throw unsupported(adapter, `with a ${name} of its own, which such a file cannot hold`)
    }
    const row = rowOf(adapter, checkpoint, model, name, saved.shape)
    kept.push(...row.toGguf(valuesOf(saved, 0)).map((tensor) => ({ ...tensor, keepF32: true })))
  }
  if (adapter.tokens.size > 0) throw unsupported(adapter, 'with rows of the embedding, which such a file cannot hold')
  const waiting = new Set<string>()
  const found: AdapterTensor[] = []
  for (const [module, { a, b, isEmbedding, bias }] of adapter.modules) {
    if (bias !== undefined) throw unsupported(adapter, `with a bias of ${module}, which such a file cannot hold`)
    const [right, left] = [valuesOf(a, 0), valuesOf(b, 0)]
    const factor = factorOf(module)
    const scaled = factor === 1 ? left : multiply(left, factor)
    const product = isEmbedding ? lowRank(transpose(right), transpose(scaled), 1) : lowRank(scaled, right, 1)
    const row = rowOf(adapter, checkpoint, model, `${module}.weight`, product.shape)
    waiting.add(module)
    const outputs = row.toGguf(product)
    if (outputs.length > 0) waiting.clear()
    for (const { name, recipe } of outputs) {
      const pair = pairOf(recipe)
      if (pair === undefined)
        throw unsupported(
          adapter,
          `whose change of ${module} the architecture ${model.architecture} turns into no low-rank product`,
        )
      // llama.cpp looks tokens up in the first matrix, a row for each.
      const { a, b } = name === 'token_embd.weight' ? { a: pair.b, b: transpose(pair.a) } : pair
      found.push({ name: `${name}.lora_a`, recipe: a, keepF32: false }, { name: `${name}.lora_b`, recipe: b, keepF32: false })
    }
  }
  const [rest] = waiting
  if (rest !== undefined)
    throw unsupported(adapter, `that changes some of the experts alone (${rest}), which such a file cannot hold`)
  return [...kept, ...found]
}

function rowOf(
  adapter: Adapter,
  checkpoint: Checkpoint,
  model: Model,
  name: string,
  shape: readonly number[],
): { toGguf: (recipe: Recipe) => readonly { readonly name: string; readonly recipe: Recipe }[] } {
  const row = [name, `model.${name}`, name.replace(/^model\./, '')]
    .map((known) => model.expected.get(model.rename(known)))
    .find(Boolean)
  if (row === undefined) throw mismatch({ base: checkpoint }, adapter, `it changes ${name}, which the model does not have`)
  if (sameShape(row.shape, shape)) return row
  // GPT-2's layers lie inputs x outputs.
  if (sameShape(row.shape, shape.toReversed())) return { toGguf: (recipe) => row.toGguf(transpose(recipe)) }
  throw mismatch(
    { base: checkpoint },
    adapter,
    `its change of ${name} has the shape ${showShape(shape)}, and the tensor of the model ${showShape(row.shape)}`,
  )
}

function unsupported(adapter: Adapter, what: string): MqError {
  const advice = 'Merge it into the checkpoint instead, with --lora'
  return MqError.of('ADAPTER_UNSUPPORTED', { file: adapter.file, kind: `an adapter ${what}`, advice })
}

function countOf(tensors: readonly BlueprintTensor[]): number {
  let count = 0
  for (const [index, { name, shape }] of tensors.entries()) {
    const before = tensors[index - 1]
    if (name.endsWith('.lora_b') && before !== undefined) count += elementCount([...shape.slice(0, -1), before.shape.at(-1) ?? 1])
    else if (!name.endsWith('.lora_a')) count += elementCount(shape)
  }
  return count
}

/** What the folder's name says. */
function namesOf({ name: folder }: Adapter, parameters: number): [string, MetadataValue][] {
  const parts = nameParts(folder, parameters)
  const optional = (key: string, value: string | undefined): [string, MetadataValue][] =>
    value === undefined ? [] : [[`general.${key}`, text(value)]]
  return [
    ...optional('name', parts.name === undefined ? undefined : titleOf(parts.name)),
    ...optional('version', parts.version),
    ...optional('finetune', parts.finetune),
    ...optional('basename', parts.basename),
    ...optional('size_label', parts.sizeLabel),
  ]
}

function invocationTokens({ config }: Adapter): [string, MetadataValue][] {
  const { invocationTokens: value } = config
  return value.length === 0
    ? []
    : [['adapter.alora.invocation_tokens', { type: 'array', elementType: 'uint32', value: [...value] }]]
}
