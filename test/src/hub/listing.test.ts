import { describe, expect, test } from 'vitest'
import { fileNameProblem } from '../../../src/hub/file-name.js'
import { nextQuery } from '../../../src/hub/listing.js'

describe('the next page of a listing', () => {
  test.each([
    ['<https://hub/api/tree/main?cursor=abc%3D&limit=1>; rel="next"', 'cursor=abc%3D&limit=1'],
    ['</api/tree/main?cursor=1>; rel="next"', 'cursor=1'],
    ['<?cursor=1>;rel=next', 'cursor=1'],
    ['<https://hub/a?cursor=1>; title="x"; rel="last next"', 'cursor=1'],
    ['<https://hub/a?page=1>; rel="first", <https://hub/a?page=3>; rel="next"', 'page=3'],
    ['<https://hub/a?page=1>; REL=NEXT', 'page=1'],
    ['<https://hub/a?page=1#top>; rel="next"', 'page=1'],
    ['<https://hub/a?page=1>; rel="prev"', undefined],
    ['<https://hub/a?page=1>; rel="nextish"', undefined],
    ['<https://hub/a>; rel="next"', undefined],
    ['nonsense', undefined],
    [null, undefined],
  ])('%j leads to %j', (link, expected) => {
    expect(nextQuery(link)).toBe(expected)
  })
})

describe('names of files', () => {
  test.each<[string, NodeJS.Platform, boolean]>([
    ['model.gguf', 'linux', true],
    ['a/b/c.json', 'win32', true],
    ['runs/2024-01-01T10:00:00/events.out', 'linux', true],
    ['runs/2024-01-01T10:00:00/events.out', 'win32', false],
    ['C:/x', 'linux', false],
    ['a\\b', 'linux', false],
    ['../x', 'linux', false],
    ['a/./b', 'linux', false],
    ['/x', 'linux', false],
    ['', 'linux', false],
    ['a\nb', 'linux', false],
    [`${'x'.repeat(256)}.gguf`, 'linux', false],
    ['語'.repeat(90), 'linux', false],
    ['nul.json', 'win32', false],
    ['nul.json', 'linux', true],
    ['a./b', 'win32', false],
  ])('%j on %s can be written: %j', (path, platform, expected) => {
    expect(fileNameProblem(path, platform) === undefined).toBe(expected)
  })
})
