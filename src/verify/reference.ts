import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeBlueprint, planUniform } from '../convert/index.js'
import { MqError } from '../errors.js'
import type { WithProgress } from '../progress.js'
import { quantize } from '../quantize/index.js'

/** A model that llama.cpp can load, and how to clear away what was made for it. */
export interface Reference {
  readonly path: string
  dispose(): Promise<void>
}

/**
 * The reference as a GGUF: itself where it is one; from a checkpoint, a lossless (F32, BF16 or F16) conversion in a temporary folder,
 * since llama.cpp reads nothing else.
 */
export async function* openReference(path: string, options: { threads?: number; signal?: AbortSignal }): WithProgress<Reference> {
  const found = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  if (!found.isDirectory()) return { path, dispose: async () => {} }

  const folder = await mkdtemp(join(tmpdir(), 'mq-reference-'))
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const blueprint = await makeBlueprint(path)
    const plan = planUniform(blueprint, blueprint.sourceType)
    const output = join(folder, 'reference.gguf')
    for await (const progress of quantize({ ...options, blueprint, plan, output }))
      yield { ...progress, stage: 'convert the reference' }
    return { path: output, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}
