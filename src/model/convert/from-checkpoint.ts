import { join } from 'node:path'
import { FormatError } from '../../../formats/format-error.js'
import type { MetadataValue } from '../../../formats/gguf/index.js'
import { tokenizerMetadata } from '../../../formats/tokenizer/index.js'
import { MqError } from '../../errors/index.js'
import type { Recipe } from '../../recipe/index.js'
import { describeModel, type Entry, type Model, placeTensors } from '../architectures/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import { type Checkpoint, type CheckpointFolder, openCheckpoint } from '../checkpoint/index.js'
import { keepsFloat32, layerOfTensor, roleOfTensor } from '../roles.js'
import { generalMetadata } from './general-metadata.js'

/** The blueprint of a checkpoint. @throws as makeBlueprint. */
export async function blueprintOfCheckpoint(place: string | CheckpointFolder, pre: string | undefined): Promise<Blueprint> {
  const checkpoint = await openCheckpoint(place)
  const model = describeModel(checkpoint)
  const placed = placeTensors(checkpoint, model)
  const tensors = placed.tensors.map(({ name, recipe }) => blueprintTensor(name, recipe))
  const metadata = new Map<string, MetadataValue>([
    ...(await generalMetadata(checkpoint, model.architecture, tensors)),
    ...model.keys.map(([key, value]): [string, MetadataValue] => [`${model.architecture}.${key}`, value]),
    ...(await readTokenizer(checkpoint, model, pre)),
  ])
  return {
    architecture: model.architecture,
    layers: model.layers,
    experts: model.experts,
    metadata,
    files: checkpoint.files,
    tensors,
    sourceType: checkpoint.sourceType,
    notes: [...model.notes, ...placed.notes],
  }
}

/** A recipe with what its name says of it. */
export function blueprintTensor(name: string, recipe: Recipe): BlueprintTensor {
  const { shape } = recipe
  const layer = layerOfTensor(name)
  return {
    name,
    shape,
    role: roleOfTensor(name),
    layer,
    keepF32: keepsFloat32(name, shape),
    recipe,
  }
}

async function readTokenizer(checkpoint: Checkpoint, model: Model, pre: string | undefined): Promise<readonly Entry[]> {
  const tokenizer = await checkpoint.readJson('tokenizer.json')
  if (tokenizer === undefined) {
    throw MqError.from(new FormatError('TOKENIZER_UNSUPPORTED', { file: checkpoint.path, problem: 'there is no tokenizer.json' }))
  }
  const config = await checkpoint.readJson('tokenizer_config.json')
  const entries = tokenizerMetadata(
    {
      name: join(checkpoint.path, 'tokenizer.json'),
      tokenizer,
      config,
      modelConfig: checkpoint.config,
      chatTemplate: await checkpoint.readText('chat_template.jinja'),
      chatTemplateJson: await checkpoint.readJson('chat_template.json'),
    },
    { vocabularySize: model.vocabularySize, pre },
  )
  return model.adjustTokenizer?.(entries, config) ?? entries
}
