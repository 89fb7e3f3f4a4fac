import { expect, test } from 'vitest'
import { formatBytes, formatCount, formatSeconds, formatTable, ProgressBar } from '../../../src/terminal/index.js'

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.00 kB'],
  [9_995_000, '10.0 MB'],
  [212_300_000_000, '212 GB'],
])('%d bytes read %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

test('counts and times are short', () => {
  expect([formatCount(9999), formatCount(8_700_000), formatCount(671e9)]).toEqual(['9999', '8.7 M', '671 B'])
  expect([formatSeconds(4.21), formatSeconds(59.97), formatSeconds(185), formatSeconds(8040)]).toEqual([
    '4.2 s',
    '1 min 00 s',
    '3 min 05 s',
    '2 h 14 min',
  ])
})

test('a table lines figures up on the right', () => {
  expect(
    formatTable(
      [{ title: 'role' }, { title: 'MB', align: 'right' }],
      [
        ['norm', '1'],
        ['output', '12'],
      ],
    ),
  ).toBe(['role    MB', '------  --', 'norm     1', 'output  12'].join('\n'))
})

test('a bar waits before it shows, says rate and time left, and goes away', () => {
  let now = 0
  let screen = ''
  const bar = new ProgressBar({ isTTY: true, columns: 200, write: (text) => (screen += text) }, () => now)
  const at = (ms: number, done: number): void => {
    now = ms
    bar.update({ stage: 'quantize', done, total: 4_000_000, unit: 'bytes', item: 'output.weight' })
  }
  at(0, 0)
  at(300, 500_000)
  expect(screen).toBe('')
  at(1000, 1_000_000)
  expect(screen).toContain('25 %  1.00 MB/4.00 MB  1.00 MB/s  3.0 s left  output.weight')
  bar.clear()
  expect(screen.endsWith('\r\u001B[2K')).toBe(true)
})

test('a stream that is no terminal stays silent', () => {
  let screen = ''
  new ProgressBar({ write: (text) => (screen += text) }, () => 1e9).update({ stage: 'x', done: 1, total: 2, unit: 'files' })
  expect(screen).toBe('')
})
