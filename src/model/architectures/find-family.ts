import type { Fields } from './config.js'
import * as all from './families/index.js'
import type { Family } from './types.js'

/** All families. */
export const families: readonly Family[] = Object.values(all)

/** Of several that write one architecture, the one whose memory is known. */
const byArchitecture = new Map(
  families
    .toSorted((a, b) => Number(a.footprint !== undefined) - Number(b.footprint !== undefined))
    .map((family) => [family.architecture, family] as const),
)

/** The family of a class that config.json names; undefined where there is none. */
export function familyOfClass(name: string, fields: Fields): Family | undefined {
  return families.find(({ classes, applies }) => classes.includes(name) && (applies === undefined || applies(fields)))
}

/** The family of general.architecture; undefined where there is none. */
export function familyOfArchitecture(architecture: string): Family | undefined {
  return byArchitecture.get(architecture)
}
