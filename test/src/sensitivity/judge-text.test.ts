import { describe, expect, it } from 'vitest'
import { judgeText } from '../../../src/sensitivity/judge-text.js'

describe('judgeText', () => {
  it('is the end of the text, and the same with an eighth or so of its letters changed', () => {
    const text = 'In the beginning was the Word, and the Word was with God. '.repeat(1000)
    const judged = judgeText(text)
    const end = text.slice(-(2 ** 14))
    expect(judged.slice(0, end.length + 1)).toBe(`${end}\n`)
    const noisy = judged.slice(end.length + 1)
    const differing = Array.from(noisy).filter((letter, at) => letter !== end[at])
    // 0.12 of the 45 letters in 58 characters, less those that were changed for the same one.
    expect(differing.length / end.length).toBeGreaterThan(0.07)
    expect(differing.length / end.length).toBeLessThan(0.1)
    expect(noisy.replaceAll(/[a-zA-Z]/g, 'x')).toBe(end.replaceAll(/[a-zA-Z]/g, 'x'))
    expect(judgeText(text)).toBe(judged)
  })
})
