import { describe, expect, test } from 'vitest'
import { checkGates } from '../../../src/verify/gates.js'
import { divergenceOf, pairedDifference, parseGate, reportPage, type VerifyReport } from '../../../src/verify/index.js'
import { profileOf } from '../../../src/verify/profile.js'
import { elementsOf } from '../../support/elements.js'
import { exampleComparison, exampleReport } from '../../support/verify-report.js'

const madeBy = { command: "mq verify m.gguf --gate 'kld<=1'", version: '1.2.3' }

function withGates(...gates: string[]): VerifyReport {
  const report = exampleReport({})
  const results = checkGates(
    gates.map((gate) => parseGate(gate)),
    report,
    0.95,
  )
  return { ...report, gates: results, passed: results.every(({ passed }) => passed) }
}

function withVersus(): VerifyReport {
  const report = exampleReport({})
  const [own, other] = [exampleComparison(), exampleComparison(6, 32, 2)]
  const divergence = divergenceOf(other)
  const { files, bitsPerWeight, perplexity, perplexityRatio } = report
  const figures = { files, bitsPerWeight, perplexity, perplexityRatio, divergence, profile: profileOf(other) }
  const versus = { ...figures, name: 'other<&>.gguf', sizeBytes: 1, kld: divergence.kld.mean, sameTop: divergence.sameTop }
  return { ...report, versus: { ...versus, difference: pairedDifference(own, other) } }
}

describe('the page', () => {
  test.each([
    ['of a model', exampleReport({})],
    ['of a model with gates', withGates('kld<=1', 'same-top>=99%')],
    ['of two models', withVersus()],
  ])('%s is whole and asks nothing of anyone', (_, report) => {
    const text = reportPage(report, madeBy)
    const elements = elementsOf(text)
    expect(elements.map(({ name }) => name)).not.toEqual(expect.arrayContaining(['script']))
    const asking = elements
      .flatMap(({ attributes }) => Object.keys(attributes))
      .filter((name) => /^(src|href|on.*|xlink:href|srcset|data)$/.test(name))
    expect(asking).toEqual([])
    expect(text).not.toMatch(/url\(|@import|https?:/)
    for (const { attributes } of elements) {
      for (const value of Object.values(attributes)) expect(value).not.toMatch(/NaN|undefined|Infinity/)
    }
    expect(text).toContain('mq verify m.gguf --gate &#39;kld&lt;=1&#39;')
    expect(text).toContain('a'.repeat(64))
    expect(text).toContain('b'.repeat(64))
    expect(text).toContain('1.2.3')
  })

  test('says what the gates say', () => {
    expect(reportPage(withGates('kld<=1'), madeBy)).toContain('✓ Passed: the gate')
    expect(reportPage(withGates('kld<=1', 'same-top>=99%'), madeBy)).toContain('✗ Failed: 1 of 2 gates')
    expect(reportPage(exampleReport({}), madeBy)).toContain('Measured, without gates')
  })

  test('draws a bar for every bin that holds tokens, and a dot for every chunk', () => {
    const report = exampleReport({})
    const charts = reportPage(report, madeBy).split('<figure').slice(1)
    expect(charts).toHaveLength(5)
    const count = (index: number, kind: string): number =>
      elementsIn(charts[index]).filter(({ attributes }) => attributes['class']?.startsWith(kind)).length
    const used = (histogram: { counts: number[] } | undefined): number => histogram?.counts.filter((one) => one > 0).length ?? 0
    expect(count(0, 'bar')).toBe(used(report.profile?.histograms.kld))
    expect(count(1, 'bar')).toBe(used(report.profile?.histograms.probabilityChange))
    expect(count(2, 'dot')).toBe(6)
    expect(count(4, 'dot')).toBeGreaterThanOrEqual(14)
  })

  test('shows both models and their paired differences', () => {
    const text = reportPage(withVersus(), madeBy)
    expect(text.split('<figure')).toHaveLength(7)
    expect(text).toContain('Paired differences by chunk')
    expect(text).toContain('other&lt;&amp;&gt;.gguf')
    expect(text).toContain('<strong>m.gguf</strong> has a lower KL divergence than other&lt;&amp;&gt;.gguf')
  })

  test('is made of a report of an early version, too', () => {
    const { divergence: _divergence, profile: _profile, ...early } = exampleReport({})
    const text = reportPage({ ...early, perplexity: { value: 12.3456, standardError: 0.1 } }, madeBy)
    expect(elementsOf(text).map(({ name }) => name)).not.toContain('svg')
    expect(text).toContain('12.3456')
    expect(text).toContain('m.gguf')
    expect(text).not.toMatch(/KL divergence of|undefined|NaN/)
  })

  test('of equal models has no number that is none', () => {
    const comparison = { ...exampleComparison(1), divergences: new Float64Array(15), probabilityChanges: new Float32Array(15) }
    const report = { ...exampleReport({}), divergence: divergenceOf(comparison), profile: profileOf(comparison) }
    for (const { attributes } of elementsOf(reportPage(report, madeBy))) {
      expect(Object.values(attributes).join(' ')).not.toMatch(/NaN|Infinity/)
    }
  })
})

/** Elements of the first svg of a piece of a page. */
function elementsIn(piece = ''): ReturnType<typeof elementsOf> {
  return elementsOf(piece.slice(piece.indexOf('<svg'), piece.indexOf('</svg>') + 6))
}
