import { readdir, readFile } from 'node:fs/promises'
import { describeModel, text } from '../../src/model/architectures/index.js'
import type { Checkpoint } from '../../src/model/checkpoint/index.js'
import { blueprintTensor } from '../../src/model/convert/from-checkpoint.js'
import type { Blueprint } from '../../src/model/index.js'
import { elementCount, plain } from '../../src/recipe/index.js'
import { repositoryPath } from '../quality-subject.js'

const folder = repositoryPath('bench/widening/configs')

/** The names of the published configurations that the bench has: config.json of each, without what changes no size. */
export async function configNames(): Promise<readonly string[]> {
  return (await readdir(folder)).map((name) => name.replace(/\.json$/, '')).toSorted()
}

/**
 * The blueprint of a model of which only config.json is known: every tensor that the architecture demands, as BF16 that nobody can read,
 * and no tokenizer.
 */
export async function blueprintOfConfig(name: string): Promise<Blueprint> {
  return await blueprintOf(name, JSON.parse(await readFile(`${folder}/${name}.json`, 'utf8')) as Record<string, unknown>)
}

/** The same of a config.json that is given. */
export async function blueprintOf(name: string, config: Record<string, unknown>): Promise<Blueprint> {
  // Families count the tensors that there are before they ask for one of each expert.
  const uncounted = Array.from({ length: 100_000 }, (_, index) => `model.unknown.${index}`)
  const { expected } = await describeModel(withoutWeights(name, config, uncounted))
  const names = [...expected].filter(([, { required }]) => required).map(([tensor]) => tensor)
  const model = await describeModel(withoutWeights(name, config, names))
  const tensors = [...model.expected.values()]
    .filter(({ required }) => required)
    .flatMap((expected) => {
      const { shape } = expected
      return expected.toGguf(plain('BF16', { file: 0, start: 0, end: 2 * elementCount(shape) }, shape))
    })
  return {
    architecture: model.architecture,
    layers: model.layers,
    experts: model.experts,
    metadata: new Map([['general.architecture', text(model.architecture)], ...model.keys]),
    files: [name],
    tensors: tensors.map((tensor) => blueprintTensor(tensor.name, tensor.recipe, model.architecture)),
    sourceType: 'BF16',
    notes: [],
  }
}

function withoutWeights(name: string, config: Record<string, unknown>, names: readonly string[]): Checkpoint {
  const unread = (): never => {
    throw new Error(`${name} is a configuration without weights`)
  }
  return {
    path: name,
    modelId: undefined,
    pathOf: (file) => `${name}/${file}`,
    files: [],
    config,
    names,
    sourceType: 'BF16',
    shapeOf: () => undefined,
    tensor: unread,
    notes: [],
    readBytes: async () => undefined,
    values: unread,
    looksEqual: async () => false,
    readText: async () => undefined,
    readJson: async () => undefined,
    readTemplates: async () => new Map(),
  }
}
