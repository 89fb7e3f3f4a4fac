import { finish, MqError, makeBlueprint, planUniform, quantize } from '../../src/index.js'

const types = { f32: 'F32', bf16: 'BF16' } as const

/** Why a checkpoint is not converted. */
export interface Refusal {
  readonly code: string
  readonly message: string
}

type ConvertedType = keyof typeof types

/**
 * Converts a checkpoint as `mq convert FOLDER --type TYPE -o OUTPUT` does, for each of the types.
 * @returns the code of the refusal of each type that was refused.
 */
export async function convertOurs(
  folder: string,
  outputs: Readonly<Partial<Record<ConvertedType, string>>>,
  options: readonly string[] = [],
): Promise<Readonly<Partial<Record<ConvertedType, Refusal>>>> {
  const at = options.indexOf('--pre')
  const pre = at === -1 ? undefined : options[at + 1]
  const mtp = options.includes('--no-mtp') ? 'without' : options.includes('--mtp-only') ? 'only' : undefined
  const refusals: Partial<Record<ConvertedType, Refusal>> = {}
  const blueprint = makeBlueprint(folder, { pre, mtp })
  for (const [type, output] of Object.entries(outputs) as [ConvertedType, string][]) {
    try {
      const known = await blueprint
      await finish(quantize({ blueprint: known, plan: planUniform(known, types[type]), output, threads: 1 }))
    } catch (error) {
      // What is wrong within a file comes as a plain error of formats/, with a code, too.
      if (!(error instanceof MqError) && typeof (error as { code?: unknown }).code !== 'string') throw error
      const { code, message } = MqError.from(error)
      refusals[type] = { code, message }
    }
  }
  return refusals
}
