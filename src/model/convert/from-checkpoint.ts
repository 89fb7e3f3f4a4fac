import type { MetadataValue } from '../../../formats/gguf/index.js'
import {
  rwkvVocabularyName,
  type TokenizerMetadata,
  tekkenName,
  tokenizerMetadata,
  tokenRanksNames,
} from '../../../formats/tokenizer/index.js'
import { blocksOf, type Recipe } from '../../recipe/index.js'
import { type Adapter, adaptedCheckpoint, openAdapter, readAdapterSpec } from '../adapter/index.js'
import { describeModel, type Model, type MtpExport, mapTensors, text, uint32 } from '../architectures/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import { type Checkpoint, type CheckpointFolder, openCheckpoint } from '../checkpoint/index.js'
import { keepsFloat32, layerOfTensor, roleOfTensor } from '../roles.js'
import { chatTemplateNotes } from './check-chat-template.js'
import { generalMetadata } from './general-metadata.js'
import { readModelCard } from './model-card.js'

/** What a user may say of a checkpoint that its files do not. */
export interface BlueprintOptions {
  /** llama.cpp's name of the pre-tokenizer, such as `llama-bpe`, where it is not to be recognised. No use for a GGUF. */
  readonly pre?: string | undefined
  /** The model's name for the metadata and the output's name, `ORG/NAME` or `NAME`. No use for a GGUF. */
  readonly name?: string | undefined
  /** What becomes of layers for multi-token prediction; by default they are kept where llama.cpp's converter keeps them. No use for a GGUF. */
  readonly mtp?: MtpExport | undefined
  /** Adapters (LoRA of peft) to merge, in order: folders, each with `:SCALE` after it or without. Of no use for a GGUF. */
  readonly lora?: readonly string[] | undefined
}

/** The blueprint of a checkpoint. @throws as makeBlueprint. */
export async function blueprintOfCheckpoint(
  place: string | CheckpointFolder,
  { pre, name, mtp, lora = [] }: BlueprintOptions = {},
): Promise<Blueprint> {
  const how = mtp === undefined ? {} : { mtp }
  const base = await openCheckpoint(place)
  const ofBase = await describeModel(base, how)
  const adapters: Adapter[] = []
  for (const text of lora) adapters.push(await openAdapter(await readAdapterSpec(text)))
  const adapted = adapters.length === 0 ? undefined : await adaptedCheckpoint(base, ofBase, adapters)
  const checkpoint = adapted?.checkpoint ?? base
  const model = adapted === undefined ? ofBase : await describeModel(checkpoint, how)
  const placed = mapTensors(checkpoint, model)
  const tensors = placed.tensors.map((tensor): BlueprintTensor => {
    const stored = blocksOf(tensor.recipe)
    const storedType = stored?.always === true ? stored.type : undefined
    return { ...blueprintTensor(tensor.name, tensor.recipe, model.architecture), ...(storedType !== undefined && { storedType }) }
  })
  const generation = await checkpoint.readJson('generation_config.json')
  const tokenizer = await readTokenizer(checkpoint, model, pre, generation)
  const { card, notes: cardNotes } = await readModelCard(checkpoint)
  const metadata = new Map<string, MetadataValue>([
    ['general.architecture', text(model.architecture)],
    ...model.firstKeys,
    ...generalMetadata(checkpoint, model.architecture, tensors, { given: name, card, adapters, generation }),
    ...model.keys,
    ['general.quantization_version', uint32(2)],
    ...tokenizer.entries,
  ])
  return {
    architecture: model.architecture,
    layers: model.layers,
    experts: model.experts,
    metadata,
    files: checkpoint.files,
    tensors,
    sourceType: checkpoint.sourceType,
    ...(adapters.length > 0 && { adapters: adapters.map(({ name, sha256, scale }) => ({ name, sha256, scale })) }),
    notes: [
      ...(adapted === undefined ? [] : [...adapted.notes, ...leftOutChanges(model, adapted.changed)]),
      ...checkpoint.notes,
      ...model.notes,
      ...placed.notes,
      ...tokenizer.notes,
      ...cardNotes,
      ...unknownKinds(tensors),
    ],
  }
}

/** A note on what adapters change and the file does not hold, such as a vision tower. */
function leftOutChanges(model: Model, changed: ReadonlySet<string>): string[] {
  const count = [...changed].filter((name) => model.leaveOut(name) !== undefined).length
  return count === 0 ? [] : [`Adapters change ${count} tensors that are left out: these changes are left out, too.`]
}

/** A note on matrices that neither the common names nor the family know: see the floor of their role in role-rules.ts. */
export function unknownKinds(tensors: readonly BlueprintTensor[]): string[] {
  const unknown = tensors.filter(({ role, keepF32 }) => role === 'other' && !keepF32)
  if (unknown.length === 0) return []
  const kinds = [...new Set(unknown.map(({ name }) => name.replace(/^blk\.\d+\./, '')))]
  const named = kinds.length > 6 ? `${kinds.slice(0, 6).join(', ')} and ${kinds.length - 6} more` : kinds.join(', ')
  const are = unknown.length === 1 ? 'tensor is' : 'tensors are'
  return [`${unknown.length} ${are} of a kind with no role of its own (${named}): a budget keeps such tensors at Q8_0 or above.`]
}

/** A recipe with what its name says of it. */
export function blueprintTensor(name: string, recipe: Recipe, architecture: string): BlueprintTensor {
  const { shape } = recipe
  const layer = layerOfTensor(name)
  const isTable = blocksOf(recipe)?.type === 'I32'
  return {
    name,
    shape,
    role: roleOfTensor(name, architecture),
    layer,
    keepF32: isTable || keepsFloat32(name, shape, architecture),
    recipe,
    ...(isTable && { storedType: 'I32' }),
  }
}

/** @param generation generation_config.json. */
async function readTokenizer(
  checkpoint: Checkpoint,
  model: Model,
  pre: string | undefined,
  generation: Readonly<Record<string, unknown>> | undefined,
): Promise<TokenizerMetadata> {
  const config = await checkpoint.readJson('tokenizer_config.json')
  const { entries, notes } = tokenizerMetadata(
    {
      pathOf: (name) => checkpoint.pathOf(name),
      tokenizer: await checkpoint.readJson('tokenizer.json'),
      config,
      specialTokensMap: await checkpoint.readJson('special_tokens_map.json'),
      modelConfig: checkpoint.config,
      generationConfig: generation,
      addedTokens: await checkpoint.readJson('added_tokens.json'),
      sentencePiece: await readSentencePiece(checkpoint),
      tokenRanks: await readTokenRanks(checkpoint),
      tekken: await checkpoint.readJson(tekkenName),
      rwkvVocabulary: await checkpoint.readText(rwkvVocabularyName),
      chatTemplate: await checkpoint.readText('chat_template.jinja'),
      additionalTemplates: await checkpoint.readTemplates(),
      chatTemplateJson: await checkpoint.readJson('chat_template.json'),
    },
    { vocabularySize: model.vocabularySize, pre, preNames: model.preNames, model: model.tokenizer },
  )
  const adjusted = model.adjustTokenizer?.(entries, config) ?? entries
  return { entries: adjusted, notes: [...notes, ...(await chatTemplateNotes(adjusted))] }
}

async function readTokenRanks(checkpoint: Checkpoint): Promise<{ name: string; text: string } | undefined> {
  for (const name of tokenRanksNames) {
    const text = await checkpoint.readText(name)
    if (text !== undefined) return { name, text }
  }
  return undefined
}

/** The names of a SentencePiece model: of Llama and most others, and of T5. */
const sentencePieceNames = ['tokenizer.model', 'spiece.model']

async function readSentencePiece(checkpoint: Checkpoint): Promise<{ name: string; bytes: Uint8Array } | undefined> {
  for (const name of sentencePieceNames) {
    const bytes = await checkpoint.readBytes(name)
    if (bytes !== undefined) return { name, bytes }
  }
  return undefined
}
