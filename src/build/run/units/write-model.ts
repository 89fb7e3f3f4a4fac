import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { journalName } from '../../../files/index.js'
import { type Blueprint } from '../../../model/index.js'
import { checkPlan, layoutOutput, modelOfPlan, type Plan } from '../../../plan/index.js'
import type { WithProgress } from '../../../progress/index.js'
import { assembleRanges, type QuantizedRange, type QuantizeOptions, quantize } from '../../../quantize/index.js'
import type { UnitResult } from '../executor.js'

/**
 * Quantizes into a unit's folder. A run that was cut off goes on; one that was cut off between the last byte and its record has its files,
 * which have their names only when all of them are whole.
 * @param ranges its parts, where it was split.
 * @throws what quantize throws.
 */
export async function* writeModel(
  blueprint: Blueprint,
  plan: Plan,
  folder: string,
  fileName: string,
  options: Omit<QuantizeOptions, 'blueprint' | 'plan' | 'output'>,
  ranges?: readonly QuantizedRange[],
): WithProgress<UnitResult> {
  const output = join(folder, fileName)
  const model = modelOfPlan(blueprint, plan)
  const { parts, sizeBytes } = layoutOutput(model, checkPlan(plan, model), output, options.splitMaxBytes)
  const isWhole = (await sizeOf(journalName(output))) === undefined && (await allThere(parts))
  const whole = { ...options, blueprint, plan, output, force: true }
  const written = isWhole ? undefined : ranges === undefined ? yield* quantize(whole) : yield* assembleRanges(whole, ranges)
  const notes = written?.notes ?? []
  return {
    files: parts.map(({ path }) => basename(path)),
    // What was resumed says nothing of the result.
    result: { sizeBytes, bitsPerWeight: plan.bitsPerWeight, notes: notes.filter((note) => !/earlier run/.test(note)) },
  }
}

async function allThere(parts: readonly { readonly path: string; readonly fileBytes: number }[]): Promise<boolean> {
  for (const { path, fileBytes } of parts) if ((await sizeOf(path)) !== fileBytes) return false
  return true
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
