import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import { type LoadableModel, makeBlueprint, type ToGguf } from '../model/index.js'
import { planUniform } from '../plan/index.js'
import type { WithProgress } from '../progress/index.js'
import { quantize } from './quantize.js'

/**
 * A model as a GGUF: itself where it is one; from a checkpoint, a lossless (F32, BF16 or F16) conversion in a temporary folder, since
 * llama.cpp reads nothing else.
 * @param stage what to call the conversion while it runs.
 */
export async function* asGguf(
  path: string,
  stage: string,
  { lora, ...options }: Parameters<ToGguf>[2],
): WithProgress<LoadableModel> {
  const found = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  const isPlain = !found.isDirectory() && (lora === undefined || lora.length === 0)
  if (isPlain) return { path, dispose: async () => {} }

  const folder = await mkdtemp(join(tmpdir(), 'mq-gguf-'))
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const blueprint = await makeBlueprint(path, { lora })
    const plan = planUniform(blueprint, blueprint.sourceType)
    const output = join(folder, 'model.gguf')
    for await (const progress of quantize({ ...options, blueprint, plan, output })) yield { ...progress, stage }
    return { path: output, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}
