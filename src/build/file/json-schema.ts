import { buildFields } from './build-fields.js'
import type { Field, ObjectField } from './fields.js'

type Json = { readonly [key: string]: unknown }

/**
 * The JSON Schema of a build file, for editors: from the table that validation reads. What a schema cannot say, such as that a name is one of
 * another part, is left to `mq build`.
 */
export function buildSchema(): Json {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Build file of mq',
    ...schemaOf({ kind: 'object', description: 'What `mq build` makes, checks and publishes.', fields: buildFields }),
  }
}

function schemaOf(field: Field): Json {
  const { fallback } = field
  const description = `${field.description}${fallback === undefined ? '' : ` Default: ${fallback}.`}`
  const said = { description }
  switch (field.kind) {
    case 'text': {
      const { pattern, examples } = field
      const text = { ...(pattern !== undefined && { pattern }), ...(examples !== undefined && { examples }) }
      return { ...said, type: ['string', 'number'], ...text }
    }
    case 'choice':
      return { ...said, enum: field.choices }
    case 'number': {
      const { whole, least, most, above } = field
      return {
        ...said,
        type: whole === true ? 'integer' : 'number',
        ...(least !== undefined && { minimum: least }),
        ...(above !== undefined && { exclusiveMinimum: above }),
        ...(most !== undefined && { maximum: most }),
      }
    }
    case 'flag':
      return { ...said, type: 'boolean' }
    case 'list': {
      const items = schemaOf(field.items)
      const list = { type: 'array', minItems: 1, items }
      return field.single === true ? { ...said, anyOf: [list, items] } : { ...said, ...list }
    }
    case 'map': {
      const { pattern } = field.names
      const values = { [pattern]: schemaOf(field.values) }
      return { ...said, type: 'object', minProperties: 1, patternProperties: values, additionalProperties: false }
    }
    case 'object': {
      const whole = objectSchema(field)
      const short = field.short === undefined ? undefined : field.fields[field.short]
      return short === undefined ? { ...said, ...whole } : { ...said, anyOf: [whole, schemaOf(short)] }
    }
  }
}

function objectSchema({ fields, exactlyOne = [], needs = {} }: ObjectField): Json {
  const entries = Object.entries(fields)
  const required = entries.filter(([, field]) => field.required === true).map(([name]) => name)
  const groups = exactlyOne.map((group) => ({ oneOf: group.map((name) => ({ required: [name] })) }))
  const beside = Object.entries(needs).map(([name, others]) => [name, { anyOf: others.map((other) => ({ required: [other] })) }])
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, field]) => [name, schemaOf(field)])),
    ...(required.length > 0 && { required }),
    ...(groups.length > 0 && { allOf: groups }),
    ...(beside.length > 0 && { dependencies: Object.fromEntries(beside) }),
    additionalProperties: false,
  }
}
