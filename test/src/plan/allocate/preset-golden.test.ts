import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { planPreset } from '../../../../src/plan/allocate/index.js'
import { blueprintOf, type Shapes } from './blueprints.js'

/** What llama-quantize --dry-run chose: preset-types.py beside it made it and says how. */
interface Golden extends Omit<Shapes, 'tensors' | 'sourceType'> {
  readonly title: string
  /** `name shape type` of the source. */
  readonly tensors: readonly string[]
  readonly legend: readonly string[]
  /** For each preset a letter for each tensor: its place in the legend. */
  readonly presets: Readonly<Record<string, string>>
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const golden = JSON.parse(readFileSync('test/golden/llama-quantize/preset-types.json', 'utf8')) as Golden[]

describe.each(golden)('types of $title', (model) => {
  const source = model.tensors.map((line) => line.split(' ') as [string, string, 'F16' | 'BF16' | 'F32'])
  const blueprint = blueprintOf({
    ...model,
    tensors: source.map(([name, shape]) => [name, shape.split('x').map(Number)]),
    sourceType: source.find(([, , type]) => type !== 'F32')?.[2] ?? 'F16',
  })

  it.each(Object.keys(model.presets))("%s are llama-quantize's", (title) => {
    const [preset = '', importance] = title.split(' ')
    const plan = planPreset(blueprint, preset, { importance: importance !== undefined })
    const expected = (model.presets[title] ?? '')
      .split('')
      .map((letter, index) => `${source[index]?.[0]} ${model.legend[letters.indexOf(letter)]}`)
    expect(plan.tensors.map(({ name, type }) => `${name} ${type}`)).toEqual(expected)
  })
})
