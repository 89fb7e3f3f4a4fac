import type { SafetensorsTensor } from '../../../formats/safetensors/index.js'
import { MqError } from '../../errors/index.js'
import { decodePlain, elementCount, type PlainType, type Recipe, type Shape, sameShape, showShape } from '../../recipe/index.js'
import type { Model } from '../architectures/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { biasChange, changeOf, fitsModule, type Orientation, rowsChange, valuesOf } from './deltas.js'
import { takeExperts } from './experts.js'
import { isOfVocabulary, tensorNames } from './names.js'
import type { AdaptedModule, Adapter, SavedTensor } from './open-adapter.js'
import { tokenizerOf } from './tokenizer-files.js'
import { mismatch, push, shapeNow, type Work } from './work.js'

/** A checkpoint with merged adapters. */
export interface Adapted {
  readonly checkpoint: Checkpoint
  readonly notes: readonly string[]
  /** Names, in the checkpoint, of the tensors that adapters change. */
  readonly changed: ReadonlySet<string>
}

/**
 * Merges adapters into a checkpoint, in their order: each changed weight is a recipe that adds the low-rank updates to the base weight, in f32.
 * @param model architecture of the base, for names of tensors.
 * @throws MqError ADAPTER_MISMATCH if a module or a shape does not match the base; ADAPTER_INVALID, ADAPTER_UNSUPPORTED.
 */
export async function adaptedCheckpoint(base: Checkpoint, model: Model, adapters: readonly Adapter[]): Promise<Adapted> {
  const work: Work = {
    base,
    names: tensorNames(base, model),
    isSquareTurned: turnedNames(base),
    changes: new Map(),
    added: new Map(),
    replaced: new Map(),
    notes: [],
  }
  for (const [index, adapter] of adapters.entries()) take(work, adapter, base.files.length + index)
  const vocabulary = vocabularyOf(work)
  const tokenizer = await tokenizerOf(base, adapters, vocabulary)
  return {
    checkpoint: wrapped(work, adapters, vocabulary, tokenizer),
    notes: [...work.notes, ...tokenizer.notes],
    changed: changedOf(work),
  }
}

function changedOf({ changes, replaced, added }: Work): ReadonlySet<string> {
  return new Set([...changes.keys(), ...replaced.keys(), ...added.keys()])
}

/** Returns a test for names of weights that are stored as inputs x outputs (Conv1D of GPT-2), which a square shape does not say. */
function turnedNames({ config }: Checkpoint): (name: string) => boolean {
  const turned = ['gpt2', 'openai-gpt'].includes(String(config['model_type']))
  return (name) => turned && !isOfVocabulary(name) && !name.endsWith('score.weight')
}

function take(work: Work, adapter: Adapter, file: number): void {
  const { base, notes } = work
  const { modules, saved, tokens, config } = adapter
  for (const [name, tensor] of saved) takeSaved(work, adapter, file, name, tensor)
  for (const [name, module] of modules) {
    const weight = work.names.find(`${name}.weight`)
    if (weight === undefined && config.targetParameters.length > 0 && takeExperts(work, adapter, file, name, module)) continue
    takeModule(work, adapter, file, name, module)
  }
  for (const [name, rows] of tokens) takeRows(work, adapter, file, name, rows)
  const counts = [
    ...(modules.size === 0 ? [] : [`changes ${modules.size} modules`]),
    ...(saved.size === 0 ? [] : [`replaces or adds ${saved.size} tensors`]),
    ...(tokens.size === 0 ? [] : ['replaces rows of the embedding']),
  ]
  const scale = adapter.scale === 1 ? '' : `, times ${adapter.scale}`
  notes.push(`Merged the adapter ${adapter.name} (SHA-256 ${adapter.sha256.slice(0, 12)}${scale}): it ${counts.join(' and ')}.`)
  if (adapter.scale !== 1 && saved.size + tokens.size > 0) {
    notes.push(
      `Tensors that the adapter ${adapter.name} replaces as a whole are taken as they are: its scale applies to low-rank changes only.`,
    )
  }
  const other = otherBase(config.baseModel, base)
  if (other !== undefined)
    notes.push(`The adapter ${adapter.name} was trained on ${other}, and the model here is ${base.modelId}.`)
}

/** What an adapter calls its base, where its name is another than that of the model. Paths of whoever trained it say nothing. */
function otherBase(stated: string | undefined, { modelId }: Checkpoint): string | undefined {
  if (stated === undefined || modelId === undefined || !/^[\w.-]+\/[\w.-]+$/.test(stated)) return undefined
  const last = (name: string): string => (name.split('/').at(-1) ?? '').toLowerCase()
  return last(stated) === last(modelId) ? undefined : stated
}

function takeModule(work: Work, adapter: Adapter, file: number, name: string, module: AdaptedModule): void {
  const { names, notes } = work
  const wanted = `${name}.weight`
  const tied = work.added.has(wanted) ? undefined : names.tied(wanted)
  const stored = names.find(wanted) ?? (work.added.has(wanted) ? wanted : tied)
  const shape = stored === undefined ? undefined : shapeNow(work, stored)
  if (stored === undefined || shape === undefined)
    throw mismatch(work, adapter, `it changes ${name}, which the model does not have`)
  if (tied !== undefined) {
    notes.push(
      `The adapter ${adapter.name} changes the output matrix, which is the embedding in this model: both change, as in peft's merge.`,
    )
  }
  const orientation = orientationOf(work, adapter, module, stored, shape)
  if (orientation === undefined) {
    const made = `${module.b.shape[0]} outputs and ${module.a.shape[1]} inputs`
    throw mismatch(work, adapter, `its change of ${name} has ${made}, and the tensor ${stored} has the shape ${showShape(shape)}`)
  }
  const rank = module.a.shape[0] ?? 0
  const scaling = adapter.config.scalingOf(name, rank) * adapter.scale
  const outputs = module.magnitude && elementCount(module.magnitude.shape)
  if (outputs !== undefined && outputs !== module.b.shape[0]) {
    throw mismatch(work, adapter, `it has ${outputs} magnitudes of ${name} for ${module.b.shape[0]} outputs`)
  }
  push(work, stored, changeOf(module, scaling, file, orientation))
  if (module.bias !== undefined) takeBias(work, adapter, file, name, module.bias, scaling, module.b.shape[0] ?? 0)
}

function orientationOf(
  { isSquareTurned }: Work,
  { config }: Adapter,
  module: AdaptedModule,
  stored: string,
  shape: Shape,
): Orientation | undefined {
  const possible = (['outputs', 'inputs'] as const).filter((orientation) => fitsModule(module, shape, orientation))
  if (module.isEmbedding) return possible.includes('inputs') ? 'inputs' : undefined
  if (possible.length < 2) return possible[0] === 'inputs' && isOfVocabulary(stored) ? undefined : possible[0]
  return isSquareTurned(stored) || (config.fanInFanOut && !isOfVocabulary(stored)) ? 'inputs' : 'outputs'
}

function takeBias(
  work: Work,
  adapter: Adapter,
  file: number,
  name: string,
  bias: SafetensorsTensor,
  scaling: number,
  outputs: number,
): void {
  if (!sameShape(bias.shape, [outputs]))
    throw mismatch(work, adapter, `its bias of ${name} has the shape ${showShape(bias.shape)}`)
  const change = biasChange(bias, scaling, file)
  const stored = work.names.find(`${name}.bias`)
  if (stored !== undefined) return push(work, stored, (current) => change(current))
  const before = work.added.get(`${name}.bias`)
  work.added.set(`${name}.bias`, { shape: bias.shape, make: () => change(before?.make()) })
}

function takeSaved(work: Work, adapter: Adapter, file: number, name: string, tensor: SavedTensor): void {
  const { names } = work
  const tied = names.tied(name)
  const stored = names.find(name) ?? (tensor.isBase ? tied : tied === undefined ? undefined : name)
  const shape = stored === undefined ? undefined : (work.base.shapeOf(stored) ?? work.base.shapeOf(tied ?? ''))
  if (stored === undefined || shape === undefined) {
    throw mismatch(work, adapter, `it has a tensor ${name}, which the model does not have`)
  }
  // New tokens add rows; the width stays.
  const fits = sameShape(tensor.shape, shape) || (isOfVocabulary(name) && sameShape(tensor.shape.slice(1), shape.slice(1)))
  if (!fits)
    throw mismatch(
      work,
      adapter,
      `its ${name} has the shape ${showShape(tensor.shape)}, and that of the model ${showShape(shape)}`,
    )
  // An embedding that was trained by itself leaves the output matrix that it was tied to as it was: with what came before.
  const head = tensor.isBase || adapter.config.keepsTies ? undefined : names.headOf(stored)
  if (head !== undefined && !adapter.saved.has(head) && !work.replaced.has(head) && !work.added.has(head)) {
    const recipe = recipeNow(work, stored)
    work.added.set(head, { shape: recipe.shape, make: () => recipe })
    work.notes.push(`The adapter ${adapter.name} replaces the embedding but not the output matrix: the GGUF file holds both.`)
  }
  // What it brings takes the place of all that came before.
  work.changes.delete(stored)
  work.replaced.set(stored, { tensor, adapter, file })
}

function takeRows(work: Work, adapter: Adapter, file: number, name: string, rows: SafetensorsTensor): void {
  const wanted = `${name}.weight`
  const stored = work.names.find(wanted) ?? work.names.tied(wanted)
  const shape = stored === undefined ? undefined : shapeNow(work, stored)
  const indices = adapter.config.tokensOf(name)
  const [count = 0, width = 0] = shape ?? []
  if (stored === undefined || shape === undefined)
    throw mismatch(work, adapter, `it changes ${name}, which the model does not have`)
  const fits = sameShape(rows.shape, [indices.length, width]) && indices.every((index) => index < count)
  if (!fits || new Set(indices).size !== indices.length) {
    const problem = `it has rows ${showShape(rows.shape)} of ${name} for ${indices.length} tokens, and the tensor ${stored} has the shape ${showShape(shape)}`
    throw mismatch(work, adapter, problem)
  }
  push(work, stored, rowsChange(rows, indices, file))
}

/** Returns the rows of the embedding, if adapters change their number. */
function vocabularyOf({ base, replaced }: Work): number | undefined {
  const found = [...replaced].find(([name]) => isOfVocabulary(name))
  if (found === undefined) return undefined
  const [name, { tensor }] = found
  const rows = tensor.shape[0]
  return rows === base.shapeOf(name)?.[0] ? undefined : rows
}

/** Returns the recipe of a tensor with the updates of the adapters so far. */
function recipeNow({ base, changes, replaced, added }: Work, name: string): Recipe {
  const whole = replaced.get(name)
  const start = whole !== undefined ? valuesOf(whole.tensor, whole.file) : (added.get(name)?.make() ?? base.tensor(name))
  return (changes.get(name) ?? []).reduce((current, change) => change(current, start), start)
}

function wrapped(
  work: Work,
  adapters: readonly Adapter[],
  vocabulary: number | undefined,
  tokenizer: Pick<Checkpoint, 'readBytes' | 'readText' | 'readJson' | 'readTemplates'>,
): Checkpoint {
  const { base, changes, replaced, added } = work
  const own = new Set(base.names)
  const extra = [...new Set([...replaced.keys(), ...added.keys()])].filter((name) => !own.has(name))
  return {
    ...base,
    files: [...base.files, ...adapters.map(({ file }) => file)],
    config: vocabulary === undefined ? base.config : withVocabulary(base.config, vocabulary),
    names: [...extra, ...base.names],
    shapeOf: (name) => shapeNow(work, name),
    tensor: (name) => recipeNow(work, name),
    async values(name) {
      const whole = replaced.get(name)
      if (whole === undefined && !changes.has(name)) return await base.values(name)
      if (whole === undefined || changes.has(name)) {
        throw MqError.of('ADAPTER_UNSUPPORTED', {
          file: adapters[0]?.file ?? '',
          kind: `a LoRA of ${name}, whose values are stored in the metadata`,
          advice: 'Merge it into the model with merge_and_unload() of peft, save that, and convert the folder',
        })
      }
      const { dtype, shape, start, end } = whole.tensor
      const source = await whole.adapter.folder.open(whole.adapter.file.slice(whole.adapter.folder.path.length + 1))
      try {
        const values = new Float32Array(elementCount(shape))
        decodePlain(dtype as PlainType, await source.slice(start, end), values)
        return values
      } finally {
        await source.close()
      }
    },
    looksEqual: async (name, other) =>
      changes.has(name) || changes.has(other) || replaced.has(name) || replaced.has(other)
        ? false
        : await base.looksEqual(name, other),
    readBytes: (file) => tokenizer.readBytes(file),
    readText: (file) => tokenizer.readText(file),
    readJson: (file) => tokenizer.readJson(file),
    readTemplates: () => tokenizer.readTemplates(),
  }
}

function withVocabulary(config: Checkpoint['config'], rows: number): Checkpoint['config'] {
  const nested = Object.entries(config).filter(
    (entry): entry is [string, Record<string, unknown>] =>
      typeof entry[1] === 'object' && entry[1] !== null && 'vocab_size' in entry[1],
  )
  return {
    ...config,
    vocab_size: rows,
    ...Object.fromEntries(nested.map(([name, fields]) => [name, { ...fields, vocab_size: rows }])),
  }
}
