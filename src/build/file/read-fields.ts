import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type LineCounter, type Node } from 'yaml'
import { nearest } from '../../collections/index.js'
import type { Field, Fields, ListField, MapField, NumberField, ObjectField, TextField } from './fields.js'

/** Where something stands in a file; lines and columns count from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Something wrong, and where. */
export interface Problem extends Place {
  readonly problem: string
}

/** What a file holds, as data, with the places of its parts. */
export interface ReadFields {
  /** Undefined where there are problems. */
  readonly value: unknown
  readonly problems: readonly Problem[]
  /** Where the value of a path of keys stands, such as `models`, `llama`, `outputs`; else that of the nearest part around it. */
  placeOf(path: readonly (string | number)[]): Place
}

/** Anchors can make a small file large: so many parts are read. */
const mostNodes = 100_000
const mostProblems = 20

/** Reads a YAML document by a table of fields. Every problem is found at once, as far as one does not hide another. */
export function readFields(document: Document, lines: LineCounter, fields: ObjectField): ReadFields {
  const places = new Map<string, Place>()
  const problems: Problem[] = []
  let nodes = 0

  const placeAt = (node: unknown, fallback: Place): Place => {
    const offset = isNode(node) ? node.range?.[0] : undefined
    if (offset === undefined) return fallback
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }

  /** A part of the file: its node, and where it stands. */
  interface Part {
    readonly node: unknown
    readonly path: readonly (string | number)[]
    readonly place: Place
  }

  const fail = (place: Place, problem: string): undefined => {
    if (problems.length < mostProblems) problems.push({ ...place, problem })
    return undefined
  }

  const read = (part: Part, field: Field): unknown => {
    nodes += 1
    if (nodes > mostNodes) return nodes === mostNodes + 1 ? fail(part.place, 'the file has too many parts') : undefined
    places.set(keyOf(part.path), part.place)
    const node = isAlias(part.node) ? part.node.resolve(document) : part.node
    const resolved = { ...part, node }
    switch (field.kind) {
      case 'text':
        return readTextField(resolved, field)
      case 'choice': {
        const text = scalarText(resolved.node)
        if (text !== undefined && field.choices.includes(text)) return text
        return fail(part.place, `${nameOf(part.path)} is ${shown(node)}; it is one of ${field.choices.join(', ')}`)
      }
      case 'number':
        return readNumberField(resolved, field)
      case 'flag': {
        const value = isScalar(node) ? node.value : undefined
        if (typeof value === 'boolean') return value
        return fail(part.place, `${nameOf(part.path)} is ${shown(node)}; it is true or false`)
      }
      case 'list':
        return readListField(resolved, field)
      case 'object':
        return readObjectField(resolved, field)
      case 'map':
        return readMapField(resolved, field)
    }
  }

  const readTextField = ({ node, path, place }: Part, { check }: TextField): unknown => {
    const text = scalarText(node)
    if (text === undefined) return fail(place, `${nameOf(path)} is ${shown(node)}; text is needed`)
    if (text.trim() === '') return fail(place, `${nameOf(path)} is empty`)
    const problem = check?.(text)
    return problem === undefined ? text : fail(place, `${nameOf(path)} is ${quoted(text)}: ${problem}`)
  }

  const readNumberField = ({ node, path, place }: Part, field: NumberField): unknown => {
    const value = isScalar(node) ? node.value : undefined
    const problem = typeof value === 'number' ? numberProblem(value, field) : `it is ${boundsOf(field)}`
    return problem === undefined ? value : fail(place, `${nameOf(path)} is ${shown(node)}: ${problem}`)
  }

  const readListField = (part: Part, { items, single }: ListField): unknown => {
    const { node, path, place } = part
    if (isSeq(node)) {
      if (node.items.length === 0) return fail(place, `${nameOf(path)} is an empty list`)
      return node.items.map((item, index) => read({ node: item, path: [...path, index], place: placeAt(item, place) }, items))
    }
    if (single === true && node !== undefined && !isNull(node)) return [read({ node, path: [...path, 0], place }, items)]
    return fail(place, `${nameOf(path)} is ${shown(node)}; a list is needed`)
  }

  const readObjectField = (part: Part, field: ObjectField): unknown => {
    const { node, path, place } = part
    const { fields, short } = field
    if (short !== undefined && scalarText(node) !== undefined) {
      return { [short]: read({ ...part, path: [...path, short] }, fields[short] as Field) }
    }
    if (!isMap(node)) return fail(place, `${nameOf(path)} is ${shown(node)}; keys and values are needed`)
    const found: Record<string, unknown> = {}
    const keys = new Map<string, Place>()
    let unknown = false
    for (const { key, value } of node.items) {
      const at = placeAt(key, place)
      const name = scalarText(key) ?? ''
      const inner = Object.hasOwn(fields, name) ? fields[name] : undefined
      if (inner === undefined) {
        unknown = true
        fail(at, unknownKey(name, path, fields))
        continue
      }
      keys.set(name, at)
      found[name] = read({ node: value, path: [...path, name], place: placeAt(value, at) }, inner)
    }
    // What is missing may be what is misspelt.
    if (!unknown) checkKeys(part, field, keys)
    return found
  }

  const checkKeys = ({ path, place }: Part, field: ObjectField, keys: ReadonlyMap<string, Place>): void => {
    for (const [name, { required }] of Object.entries(field.fields))
      if (required === true && !keys.has(name)) fail(place, `${nameOf(path)} has no ${name}`)
    for (const group of field.exactlyOne ?? []) {
      const given = group.filter((name) => keys.has(name))
      if (given.length === 0) fail(place, `${nameOf(path)} has none of ${group.join(', ')}; exactly one is needed`)
      const [first, second] = given
      if (second !== undefined)
        fail(keys.get(second) as Place, `${second} stands beside ${first}; exactly one of ${group.join(', ')} is needed`)
    }
    for (const [name, others] of Object.entries(field.needs ?? {})) {
      const at = keys.get(name)
      if (at !== undefined && !others.some((other) => keys.has(other))) fail(at, `${name} applies only with ${others.join(', ')}`)
    }
  }

  const readMapField = ({ node, path, place }: Part, { values, names }: MapField): unknown => {
    if (!isMap(node)) return fail(place, `${nameOf(path)} is ${shown(node)}; names and values are needed`)
    if (node.items.length === 0) return fail(place, `${nameOf(path)} is empty`)
    const pattern = new RegExp(names.pattern)
    const found = new Map<string, unknown>()
    for (const { key, value } of node.items) {
      const at = placeAt(key, place)
      const name = scalarText(key) ?? ''
      if (!pattern.test(name)) fail(at, `${quoted(name)} cannot be a name in ${nameOf(path)}: ${names.problem}`)
      else if (found.has(name)) fail(at, `${name} appears twice in ${nameOf(path)}`)
      else found.set(name, read({ node: value, path: [...path, name], place: placeAt(value, at) }, values))
    }
    return Object.fromEntries(found)
  }

  const start = { line: 1, column: 1 }
  const value = read({ node: document.contents, path: [], place: placeAt(document.contents, start) }, fields)
  const placeOf = (path: readonly (string | number)[]): Place => {
    for (let length = path.length; length > 0; length -= 1) {
      const found = places.get(keyOf(path.slice(0, length)))
      if (found !== undefined) return found
    }
    return start
  }
  return { value: problems.length > 0 ? undefined : value, problems, placeOf }
}

/** Fields as one object, for readFields. */
export function rootField(fields: Fields): ObjectField {
  return { kind: 'object', description: 'A build file of mq.', fields }
}

function keyOf(path: readonly (string | number)[]): string {
  return JSON.stringify(path)
}

/** `models.llama.outputs`, or `the file`. */
function nameOf(path: readonly (string | number)[]): string {
  return path.length === 0 ? 'the file' : path.join('.')
}

/** Text or number, as it is written; undefined for anything else. */
function scalarText(node: unknown): string | undefined {
  if (!isScalar(node)) return undefined
  if (typeof node.value === 'string') return node.value
  return typeof node.value === 'number' ? (node.source ?? String(node.value)) : undefined
}

function isNull(node: unknown): boolean {
  return node === null || (isScalar(node) && node.value === null)
}

function shown(node: unknown): string {
  if (node === undefined || isNull(node)) return 'empty'
  if (isSeq(node)) return 'a list'
  if (isMap(node)) return 'keys and values'
  return quoted(String((node as Node & { value?: unknown }).value))
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text)
}

function numberProblem(value: number, field: NumberField): string | undefined {
  const { whole, least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY, above = Number.NEGATIVE_INFINITY } = field
  const fits =
    Number.isFinite(value) && (whole !== true || Number.isSafeInteger(value)) && value >= least && value <= most && value > above
  return fits ? field.check?.(value) : `it is ${boundsOf(field)}`
}

/** `a whole number from 1 to 1024`. */
function boundsOf({ whole, least, most, above }: NumberField): string {
  const from = above === undefined ? (least === undefined ? '' : ` from ${least}`) : ` above ${above}`
  const to = most === undefined ? '' : `${from === '' ? ' up to' : above === undefined ? ' to' : ', at most'} ${most}`
  return `${whole === true ? 'a whole number' : 'a number'}${from}${to}`
}

function unknownKey(name: string, path: readonly (string | number)[], fields: Fields): string {
  const [closest = ''] = nearest(name, Object.keys(fields), 1)
  return `${nameOf(path)} has no key ${quoted(name)}; the closest is ${closest}`
}
