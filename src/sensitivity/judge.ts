import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Blueprint } from '../blueprint.js'
import { makeBlueprint } from '../convert/index.js'
import type { Plan } from '../plan.js'
import { inStage, type WithProgress } from '../progress.js'
import { type Importance, type KnownInputs, quantize } from '../quantize/index.js'
import { ggml, plain, type Recipe } from '../recipe/index.js'
import { loadModel } from '../runner/index.js'
import { divergenceOf } from '../verify/index.js'

export interface JudgeOptions {
  readonly threads?: number
  readonly memoryBytes?: number
  readonly importance?: Importance
  readonly calibration?: KnownInputs
  readonly signal?: AbortSignal
}

/** Says how far models are from the full one, on one text. */
export interface Judge {
  /** Mean divergence of each chunk, of the model that a plan makes of the blueprint. */
  divergence(blueprint: Blueprint, plan: Plan): WithProgress<readonly number[]>
}

/**
 * Runs the full model over the text, once.
 * @param full the plan that loses nothing.
 * @param folder for files that are as large as the models, and go when they have been read.
 * @throws MqError TEXT_TOO_SHORT, MODEL_REJECTED, LLAMA_MISSING, LLAMA_CRASHED, DISK_FULL, INTERRUPTED, and what quantize throws.
 */
export async function* openJudge(
  blueprint: Blueprint,
  full: Plan,
  text: string,
  folder: string,
  options: JudgeOptions,
): WithProgress<Judge> {
  const { threads, memoryBytes, signal } = options
  const work = {
    ...(threads === undefined ? {} : { threads }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(signal === undefined ? {} : { signal }),
  }
  const load = { ...(threads === undefined ? {} : { threads }), ...(signal === undefined ? {} : { signal }) }
  const logits = join(folder, 'base.logits')
  const reference = join(folder, 'full.gguf')
  yield* inStage('write the full model', quantize({ blueprint, plan: full, output: reference, ...work }))
  {
    await using model = await loadModel(reference, load)
    yield* model.saveLogits(logits, text)
  }
  await rm(reference)
  const knowledge = {
    ...(options.importance === undefined ? {} : { importance: options.importance }),
    ...(options.calibration === undefined ? {} : { calibration: options.calibration }),
  }
  return {
    async *divergence(from, plan) {
      const output = join(folder, 'judged.gguf')
      yield* quantize({ blueprint: from, plan, output, force: true, ...work, ...knowledge })
      try {
        await using model = await loadModel(output, load)
        return divergenceOf(yield* model.compareLogits(logits, text)).kldOfChunks
      } finally {
        await rm(output, { force: true })
      }
    },
  }
}

/** A blueprint of which all tensors but some are copied from a GGUF file that holds the same ones. */
export async function copyingFrom(path: string, blueprint: Blueprint, anew: ReadonlySet<string>): Promise<Blueprint> {
  const copied = await makeBlueprint(path)
  const recipes = new Map(copied.tensors.map(({ name, recipe }) => [name, moved(recipe, blueprint.files.length)]))
  const tensors = blueprint.tensors.map((tensor) => {
    const recipe = recipes.get(tensor.name)
    return recipe === undefined || anew.has(tensor.name) ? tensor : { ...tensor, recipe }
  })
  return { ...blueprint, tensors, files: [...blueprint.files, ...copied.files] }
}

/** A recipe of a GGUF file whose files stand later in the list. */
function moved(recipe: Recipe, by: number): Recipe {
  if (recipe.op === 'plain') return plain(recipe.dtype, { ...recipe.range, file: recipe.range.file + by }, recipe.shape)
  if (recipe.op === 'ggml') return ggml(recipe.type, { ...recipe.range, file: recipe.range.file + by }, recipe.shape)
  throw new RangeError(`a GGUF file does not hold ${recipe.op}`)
}
