import { Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import { type WidenRequest, type WidthKey, widthKeyOf, widthNames } from '../../src/model/index.js'

const words = ['auto', 'none', 'always'] as const

/** The flag of commands that may widen a model, with what is done without it. */
export const widenFlag = (fallback: string, helpValue = 'auto|none|always|WIDTH=N') =>
  Flags.string({
    multiple: true,
    helpValue,
    description: `Add zeros to widths that are not multiples of 256, so that their rows can have K- and IQ-types; the model computes the same function. ${helpValue.startsWith('auto') ? 'auto, for budgets: where the estimated loss at equal bytes is lower; always' : 'always'}: all such widths; WIDTH: its name in config.json, such as intermediate_size=2304. [default: ${fallback}]`,
  })

/**
 * What --widen asks for; undefined where it was not given.
 * @throws MqError FLAG_INVALID.
 */
export function widenOf(values: readonly string[] | undefined, command: string): WidenRequest | undefined {
  if (values === undefined) return undefined
  const invalid = (value: string, problem: string): MqError =>
    MqError.of('FLAG_INVALID', { flag: 'widen', value, problem, command })
  const [first = ''] = values
  const word = words.find((known) => known === first)
  if (word !== undefined) {
    if (values.length > 1) throw invalid(values.join(' '), `${word} stands alone`)
    return word
  }
  const widths: Partial<Record<WidthKey, number>> = {}
  for (const value of values) {
    const [, name = '', size = ''] = /^([^=]+)=(\d{1,9})$/.exec(value) ?? []
    const key = widthKeyOf(name)
    if (key === undefined) {
      throw invalid(value, `it is neither ${words.join(', ')} nor WIDTH=N with one of ${widthNames.join(', ')}`)
    }
    widths[key] = Number(size)
  }
  return widths
}
