import { describe, expect, test } from 'vitest'
import { waitHint } from '../../../src/hub/wait-hint.js'

const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT')

describe('how long a server asks to wait', () => {
  test.each<[Record<string, string>, number | undefined]>([
    [{ 'retry-after': '20' }, 20_000],
    [{ 'retry-after': '1.5' }, 1500],
    [{ 'retry-after': ' 0 ' }, 0],
    [{ 'retry-after': '20s' }, 20_000],
    [{ 'retry-after': '1m30s' }, 90_000],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:25 GMT' }, 25_000],
    [{ 'retry-after': 'Wednesday, 21-Oct-26 07:28:25 GMT' }, 25_000],
    [{ 'retry-after': '2026-10-21T07:28:25Z' }, 25_000],
    // The server's clock is an hour ahead of ours: the date is its own.
    [{ 'retry-after': 'Wed, 21 Oct 2026 08:28:25 GMT', date: 'Wed, 21 Oct 2026 08:28:05 GMT' }, 20_000],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:27:00 GMT' }, 0],
    [{ 'retry-after-ms': '350' }, 350],
    [{ ratelimit: '"resolvers";r=0;t=55' }, 55_000],
    [{ ratelimit: '"api";r=12;t=299, "resolvers";r=0;t=55' }, 55_000],
    [{ ratelimit: '"pages"; r=0; t=7 , "api"; r=0; t=9' }, 9000],
    [{ ratelimit: 'limit=100, remaining=0, reset=50' }, 50_000],
    [{ 'ratelimit-reset': '30' }, 30_000],
    [{ 'x-ratelimit-reset': String(now / 1000 + 40) }, 40_000],
    [{ 'x-ratelimit-reset': String(now + 40_000) }, 40_000],
    [{ 'x-ratelimit-reset': '12' }, 12_000],
    [{ 'x-rate-limit-reset': '12' }, 12_000],
    [{ 'x-ratelimit-reset-after': '2.5' }, 2500],
    [{ 'x-ratelimit-reset-requests': '1s500ms' }, 1500],
    [{ 'retry-after': '3', ratelimit: '"api";r=0;t=55' }, 3000],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '' }, undefined],
    [{ 'retry-after': '-5' }, 0],
    [{ ratelimit: 'none' }, undefined],
    [{}, undefined],
  ])('%j is %j ms', (headers, expected) => {
    expect(waitHint(new Headers(headers), now)).toBe(expected)
  })
})
