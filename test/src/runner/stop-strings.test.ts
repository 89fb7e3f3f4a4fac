import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stopStrings } from '../../../src/runner/child/stop-strings.js'

const few = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 })

describe('stopStrings', () => {
  it('gives the text before the first stop string, wherever the pieces are cut', () => {
    fc.assert(
      fc.property(fc.array(few, { maxLength: 12 }), fc.array(few, { minLength: 1, maxLength: 3 }), (pieces, stops) => {
        const stopper = stopStrings(stops)
        let text = ''
        let stopped = false
        for (const piece of pieces) {
          const step = stopper.push(piece)
          text += step.text
          stopped = step.stopped
          if (stopped) break
        }
        if (!stopped) text += stopper.end()
        // The one that is complete first ends the text; of several in one piece, the one that begins first.
        const all = pieces.join('')
        const found = stops.some((stop) => all.includes(stop))
        expect(stopped).toBe(found)
        const heads = pieces.map((_, at) => pieces.slice(0, at + 1).join(''))
        const head = heads.find((text) => stops.some((stop) => text.includes(stop)))
        const starts = stops.map((stop) => head?.indexOf(stop) ?? -1).filter((start) => start >= 0)
        expect(text).toBe(head === undefined ? all : head.slice(0, Math.min(...starts)))
      }),
    )
  })

  it('holds back no more than what may become one', () => {
    const stopper = stopStrings(['</s>'])
    expect(stopper.push('a<b</').text).toBe('a<b')
    expect(stopper.push('x').text).toBe('</x')
  })
})
