import { describe, expect, test } from 'vitest'
import {
  chart,
  line,
  linear,
  logarithmic,
  markup,
  page,
  roundLinear,
  section,
  signedLogarithmic,
  table,
} from '../../../src/report/index.js'
import { elementsOf } from '../../support/elements.js'

test('what is put into a page is escaped, once', () => {
  const text = page('a <b> & "c"', [section('<script>alert(1)</script>', table([{ title: "it's" }], [{ cells: ['\u0000<i>'] }]))])
  expect(text).toContain('<title>a &lt;b&gt; &amp; &quot;c&quot;</title>')
  expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
  expect(text).toContain('it&#39;s')
  expect(text).toContain('\ufffd&lt;i&gt;')
  const names = elementsOf(text).map(({ name }) => name)
  expect(names).not.toContain('script')
  expect(names).not.toContain('i')
  expect(names).toContain('th')
})

test('markup is put in as it is, lists are joined, undefined is nothing', () => {
  expect(markup`<p>${[markup`<b>${1}</b>`, undefined, 'a&b']}</p>`.text).toBe('<p><b>1</b>a&amp;b</p>')
})

describe('scales', () => {
  test('linear ones have round ticks inside their ends', () => {
    const scale = linear(0.5, 99.5)
    expect(scale.ticks.map(({ value }) => value)).toEqual([20, 40, 60, 80])
    expect([scale(0.5), scale(50), scale(99.5)]).toEqual([0, 0.5, 1])
    expect(roundLinear(0.013, 0.149).ticks.map(({ label }) => label)).toEqual(['0', '0.05', '0.1', '0.15'])
    expect(linear(3, 3)(3)).toBe(0.5)
  })

  test('logarithmic ones go by factors', () => {
    const scale = logarithmic(1e-3, 10)
    expect(scale.ticks.map(({ label }) => label)).toEqual(['0.001', '0.01', '0.1', '1', '10'])
    expect(scale(0.1)).toBeCloseTo(0.5, 12)
    expect(scale(0)).toBeLessThan(0)
  })

  test('signed ones are logarithmic in both directions', () => {
    const scale = signedLogarithmic(0.001, 1)
    expect(scale(0)).toBe(0.5)
    expect([scale(-1), scale(1)]).toEqual([0, 1])
    expect(scale(0.1) - scale(0.01)).toBeCloseTo(scale(1) - scale(0.1), 12)
    expect(scale(-0.1)).toBeCloseTo(1 - scale(0.1), 12)
    expect(scale.ticks.map(({ value }) => value)).toEqual([-1, -0.1, -0.01, 0, 0.01, 0.1, 1])
  })
})

test('a chart says in words what it shows, and breaks lines where there is no number', () => {
  const { text } = chart({
    title: 'Title',
    description: 'What it shows.',
    x: { title: 'x', scale: linear(0, 10) },
    y: { title: 'y', scale: linear(0, 1) },
    width: 182,
    height: 156,
    marks: (frame) => [
      line(
        frame,
        [0, Number.NaN, 5, 10].map((x, index) => ({ x, y: index / 3 })),
        1,
      ),
    ],
  })
  const svg = elementsOf(text).find(({ name }) => name === 'svg')
  expect(svg?.attributes).toMatchObject({ viewBox: '0 0 182 156', 'aria-label': 'Title: What it shows.' })
  const path = elementsOf(text).find(({ name }) => name === 'path')
  // the plot is 100 by 100 pixels, its lower left corner at 62, 112
  expect(path?.attributes['d']).toBe('M62 112M112 45.3L162 12')
})
