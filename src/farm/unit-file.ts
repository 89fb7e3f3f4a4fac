import { randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { isAbsolute, join, relative, sep } from 'node:path'
import * as v from 'valibot'
import { type Unit, type UnitTask, unitKinds } from '../build/index.js'
import { MqError } from '../errors/index.js'
import { writeWhole } from '../files/index.js'

const input = v.object({ path: v.string(), folder: v.string() })
const unitSchema = v.object({
  version: v.literal(1),
  unit: v.looseObject({ version: v.string(), kind: v.picklist(unitKinds) }),
  inputs: v.record(v.string(), input),
  parts: v.optional(v.array(v.object({ first: v.number(), end: v.number(), path: v.string() }))),
  origin: v.optional(v.object({ repo: v.string(), commit: v.string() })),
})
const folderSchema = v.object({ version: v.literal(1), work: v.string() })

const folderFile = 'farm.json'

/** Schema of a task in the work folder. */
export type StoredTask = Omit<UnitTask, 'folder' | 'key'>

/** Reads the name of a work folder, or creates one, so that workers can identify the folder. @returns the same name each time. */
export async function nameFolder(folder: string): Promise<string> {
  const known = await readName(folder)
  if (known !== undefined) return known
  const work = randomBytes(6).toString('hex')
  await writeWhole(join(folder, folderFile), `${JSON.stringify({ version: 1, work })}\n`)
  return work
}

/** Checks that a work folder has a name. @throws MqError FARM_FOLDER. */
export async function checkFolder(folder: string, work: string): Promise<void> {
  const found = await readName(folder)
  if (found === work) return
  const problem = found === undefined ? 'it has no farm.json' : 'it is that of another build'
  throw MqError.of('FARM_FOLDER', { folder, problem })
}

async function readName(folder: string): Promise<string | undefined> {
  try {
    return v.parse(folderSchema, JSON.parse(await readFile(join(folder, folderFile), 'utf8'))).work
  } catch {
    return undefined
  }
}

/** Writes a task for workers, with paths inside the work folder relative to it. */
export async function writeUnit(folder: string, { key, unit, inputs, parts, origin }: UnitTask): Promise<void> {
  const path = pathOf(folder, key)
  await mkdir(join(folder, 'units'), { recursive: true })
  const inside = (place: string): string => {
    const found = relative(folder, place)
    return found === '' || found.startsWith('..') || isAbsolute(found) ? place : found.split(sep).join('/')
  }
  const stored = Object.entries(inputs).map(([role, one]) => [role, { path: inside(one.path), folder: inside(one.folder) }])
  const whole = {
    version: 1,
    unit,
    inputs: Object.fromEntries(stored),
    parts: parts?.map((part) => ({ ...part, path: inside(part.path) })),
    origin,
  }
  await writeWhole(path, `${JSON.stringify(whole)}\n`)
}

/** Reads a task that writeUnit wrote. @throws MqError FARM_FOLDER if it is missing. */
export async function readUnit(folder: string, key: string): Promise<StoredTask> {
  const path = pathOf(folder, key)
  try {
    const { unit, inputs, parts, origin } = v.parse(unitSchema, JSON.parse(await readFile(path, 'utf8')))
    const outside = (place: string): string => (isAbsolute(place) ? place : join(folder, place))
    const found = Object.entries(inputs).map(([role, one]) => [role, { path: outside(one.path), folder: outside(one.folder) }])
    const known = { unit: unit as unknown as Unit, inputs: Object.fromEntries(found) as UnitTask['inputs'], origin }
    return parts === undefined ? known : { ...known, parts: parts.map((part) => ({ ...part, path: outside(part.path) })) }
  } catch (error) {
    throw MqError.of('FARM_FOLDER', { folder, problem: `${path} cannot be read` }, { cause: error })
  }
}

function pathOf(folder: string, key: string): string {
  return join(folder, 'units', `${key.slice(0, 24)}.json`)
}
