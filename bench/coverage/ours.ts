import { finish, MqError, makeBlueprint, planUniform, quantize } from '../../src/index.js'

const types = { f32: 'F32', bf16: 'BF16' } as const

/** Converts a checkpoint as `mq convert FOLDER --type TYPE -o OUTPUT` does. @returns the code of the refusal, if it is refused. */
export async function convertOurs(
  folder: string,
  type: keyof typeof types,
  output: string,
  options: readonly string[] = [],
): Promise<{ readonly code: string; readonly message: string } | undefined> {
  try {
    const at = options.indexOf('--pre')
    const pre = at === -1 ? undefined : options[at + 1]
    const mtp = options.includes('--no-mtp') ? 'without' : options.includes('--mtp-only') ? 'only' : undefined
    const blueprint = await makeBlueprint(folder, { pre, mtp })
    await finish(quantize({ blueprint, plan: planUniform(blueprint, types[type]), output, threads: 1 }))
    return undefined
  } catch (error) {
    // What is wrong within a file comes as a plain error of formats/, with a code, too.
    if (!(error instanceof MqError) && typeof (error as { code?: unknown }).code !== 'string') throw error
    const { code, message } = MqError.from(error)
    return { code, message }
  }
}
