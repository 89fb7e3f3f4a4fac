import { describe, expect, it } from 'vitest'
import { boundedPattern, PatternTooSlow } from '../../formats/bounded-pattern.js'

describe('boundedPattern', () => {
  it.each([
    ['ffn_(up|gate)', 'blk.0.ffn_up.weight', true],
    ['^ffn', 'blk.0.ffn_up.weight', false],
    ['blk\\.([0-3])\\.', 'blk.4.attn_q.weight', false],
  ])('%s on %s is %s', (source, text, found) => {
    expect([...boundedPattern(source).matching([text])]).toEqual(found ? [text] : [])
  })

  it('ends an expression that backtracks without end, and goes on after it', () => {
    const endless = boundedPattern('^(a+)+$')
    expect(() => endless.matching([`${'a'.repeat(60)}b`])).toThrow(PatternTooSlow)
    expect(endless.matching(['aaa', 'b'])).toEqual(new Set(['aaa']))
  })

  it('refuses what is no expression, or a very long one', () => {
    expect(() => boundedPattern('(')).toThrow(SyntaxError)
    expect(() => boundedPattern('a'.repeat(1001))).toThrow(SyntaxError)
  })
})
