import { expect, test } from 'vitest'
import { groupBy } from '../../../../src/collections/index.js'
import { families } from '../../../../src/model/architectures/find-family.js'

test('families that write one architecture can be widened alike: a GGUF file does not tell which of them it is of', () => {
  const architectures = groupBy(families, ({ architecture }) => architecture)
  const unlike = [...architectures].filter(([, of]) => new Set(of.map(({ widths }) => JSON.stringify(widths))).size > 1)
  expect(unlike.map(([architecture]) => architecture)).toEqual([])
})
