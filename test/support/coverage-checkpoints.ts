import { join } from 'node:path'
import { type CheckpointSpec, checkpointSpecs, writeCheckpointOf } from '../../bench/coverage/checkpoints/index.js'
import type { Blueprint } from '../../src/model/blueprint.js'
import { makeBlueprint } from '../../src/model/index.js'

/** The tiny checkpoint of a family that the coverage bench describes under this name. */
export function specOf(name: string): CheckpointSpec {
  const spec = checkpointSpecs.find((known) => known.name === name)
  if (spec === undefined) throw new Error(`there is no checkpoint ${name}`)
  return spec
}

/** The blueprint of that checkpoint, which is written to FOLDER/NAME. */
export async function coverageBlueprint(folder: string, name: string): Promise<Blueprint> {
  const spec = specOf(name)
  return makeBlueprint(await writeCheckpointOf(spec, join(folder, name), spec.classes[0]), { pre: spec.pre })
}
