import { basename } from 'node:path'
import * as v from 'valibot'
import { openCalibration, readImportance } from '../../../calibration/index.js'
import type { Importance, InputCovariances } from '../../../engine/index.js'
import { type Blueprint, makeBlueprint } from '../../../model/index.js'
import type { UnitTask } from '../executor.js'

const modelOptions = v.object({
  name: v.optional(v.string()),
  pre: v.optional(v.string()),
  mtp: v.optional(v.picklist(['without', 'only'])),
  scales: v.array(v.number()),
})

/** The blueprint of a unit's model, with its adapters. @throws what makeBlueprint throws. */
export async function blueprintOf({ unit, inputs }: UnitTask): Promise<Blueprint> {
  const { name, pre, mtp, scales } = v.parse(modelOptions, unit.options)
  const lora = scales.map((scale, index) => {
    const path = inputs[`lora${index}`]?.path ?? ''
    return scale === 1 ? path : `${path}:${scale}`
  })
  return makeBlueprint(inputs['model']?.path ?? '', { name, pre, mtp, lora })
}

/** What a unit knows of its model's inputs. Dispose of it: files are open. */
export interface KnownInputs extends AsyncDisposable {
  readonly options: { readonly importance?: Importance; readonly calibration?: InputCovariances }
  /** For the user, without paths of this machine. */
  readonly notes: readonly string[]
}

/** Opens the calibration of a unit, as much of it as its option `use` says. @throws what openCalibration and readImportance throw. */
export async function openInputs({ unit, inputs }: UnitTask, blueprint: Blueprint): Promise<KnownInputs> {
  const { use } = v.parse(v.object({ use: v.picklist(['full', 'importance', 'none']) }), unit.options)
  const path = inputs['calibration']?.path
  const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() }
  if (use === 'none' || path === undefined) return { options: {}, notes: [], ...nothing }
  const portable = (notes: readonly string[]): string[] => notes.map((note) => note.replaceAll(path, basename(path)))
  if (use === 'importance') {
    const { importance, notes } = await readImportance(path, blueprint)
    return { options: { importance }, notes: portable(notes), ...nothing }
  }
  const calibration = await openCalibration(path, blueprint)
  const { importance, notes } = calibration
  return { options: { importance, calibration }, notes: portable(notes), [Symbol.asyncDispose]: () => calibration.close() }
}
