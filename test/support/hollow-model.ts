import { describeModel } from '../../src/model/architectures/index.js'
import type { Checkpoint } from '../../src/model/checkpoint/index.js'
import { keepsFloat32 } from '../../src/model/roles.js'
import { elementCount, plain } from '../../src/recipe/index.js'
import type { ModelHeader } from './model-shapes.js'

/** A checkpoint of this config.json, of which there are no tensors but many names. */
function hollowCheckpoint(config: Readonly<Record<string, unknown>>): Checkpoint {
  const nothing = (): never => {
    throw new Error('a hollow checkpoint has no tensors')
  }
  return {
    path: 'hollow',
    modelId: undefined,
    pathOf: (name) => name,
    notes: [],
    files: [],
    config,
    names: Array.from({ length: 10_000 }, () => 'x'),
    sourceType: 'BF16',
    shapeOf: nothing,
    tensor: nothing,
    values: nothing,
    looksEqual: nothing,
    readBytes: () => Promise.resolve(undefined),
    readText: () => Promise.resolve(undefined),
    readJson: () => Promise.resolve(undefined),
    readTemplates: () => Promise.resolve(new Map()),
  }
}

/** The front of the GGUF file that a checkpoint of this config.json becomes, with every tensor that its family's table asks for. */
export async function hollowModel(config: Readonly<Record<string, unknown>>): Promise<ModelHeader> {
  const model = await describeModel(hollowCheckpoint(config))
  const placed = [...model.expected.values()]
    .filter(({ required }) => required)
    .flatMap((row) => row.toGguf(plain('U8', { file: 0, start: 0, end: elementCount(row.shape) }, row.shape)))
  return {
    metadata: new Map([
      ['general.architecture', { type: 'string', value: model.architecture } as const],
      ...model.firstKeys,
      ...model.keys,
      ['tokenizer.ggml.model', { type: 'string', value: 'no_vocab' } as const],
      [`${model.architecture}.vocab_size`, { type: 'uint32', value: model.vocabularySize } as const],
    ]),
    tensors: [...model.computed, ...placed].map(({ name, recipe: { shape } }) => ({
      name,
      shape,
      keepF32: keepsFloat32(name, shape, model.architecture),
    })),
  }
}
