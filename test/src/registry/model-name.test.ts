import { posix, win32 } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MqError } from '../../../src/errors/index.js'
import { parseModelName } from '../../../src/registry/store/index.js'

describe('names of models', () => {
  test.each([
    ['kjv/llama', { namespace: 'kjv', name: 'llama' }],
    ['kjv/llama:Q4_K_M', { namespace: 'kjv', name: 'llama', tag: 'Q4_K_M' }],
    ['Qwen/Qwen2.5-0.5B-Instruct:iq2_xs', { namespace: 'Qwen', name: 'Qwen2.5-0.5B-Instruct', tag: 'iq2_xs' }],
    ['kjv/llama:2.51-bits', { namespace: 'kjv', name: 'llama', tag: '2.51-bits' }],
  ])('%s', (text, expected) => {
    expect(parseModelName(text)).toEqual(expected)
  })

  test.each([
    'llama',
    'kjv/',
    '/llama',
    'kjv/llama/x',
    'kjv/llama:',
    'kjv/llama:a:b',
    '../llama',
    'kjv/..',
    'kjv/.',
    'kjv/.hidden',
    'kjv/a..b',
    'kjv/a--b',
    'kjv/a\\b',
    'C:/llama',
    'kjv/llama\0',
    'kjv/llama\n',
    'kjv/llämä',
    'kjv/llama:-x',
    'kjv/llama:.x',
    'kjv/llama:a/b',
    'api/models',
    'V2/llama',
    'kjv/llama.git',
    `kjv/${'a'.repeat(97)}`,
    `kjv/llama:${'a'.repeat(129)}`,
    `kjv/llama:${'0123456789abcdef'.repeat(3).slice(0, 40)}`,
  ])('%j is refused', (text) => {
    expect(() => parseModelName(text)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
  })

  test('what passes never leaves the folder it is joined to', () => {
    const piece = fc.constantFrom('a', 'B', '7', '.', '..', '/', '\\', ':', '-', '_', '%2e', '\0', ' ', 'api', '~')
    const text = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
    )
    fc.assert(
      fc.property(text, (text) => {
        const name = parsed(text)
        if (name === undefined) return
        for (const system of [posix, win32]) {
          const root = system.resolve('/registry')
          const path = system.resolve(root, name.namespace, name.name)
          expect(path.startsWith(root)).toBe(true)
          expect(path.slice(root.length + 1).split(system.sep)).toEqual([name.namespace, name.name])
        }
      }),
      { numRuns: 2000 },
    )
  })
})

function parsed(text: string): ReturnType<typeof parseModelName> | undefined {
  try {
    return parseModelName(text)
  } catch (error) {
    expect(error).toBeInstanceOf(MqError)
    return undefined
  }
}
