const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/**
 * How long a server asks its client to wait, in milliseconds, whatever it calls it: Retry-After in seconds or as a date (RFC 9110,
 * 10.2.3), retry-after-ms, `RateLimit: "name";r=0;t=55` (draft-ietf-httpapi-ratelimit-headers, as huggingface.co sends it) and its older
 * form `limit=1, remaining=0, reset=55`, RateLimit-Reset, X-RateLimit-Reset as seconds or as a time since 1970, X-RateLimit-Reset-After.
 * @returns undefined where nothing is said that can be understood.
 */
export function waitHint(headers: Headers, now: number = Date.now()): number | undefined {
  // A date is the server's own; so is the clock that it is compared with, where the answer carries one.
  const clock = Date.parse(headers.get('date') ?? '') || now
  const hints = [
    duration(headers.get('retry-after-ms'), 1),
    duration(headers.get('retry-after'), 1000) ?? until(headers.get('retry-after'), clock),
    structured(headers.get('ratelimit')),
    moment(headers.get('ratelimit-reset'), clock),
    moment(headers.get('x-ratelimit-reset-after'), clock),
    moment(headers.get('x-ratelimit-reset'), clock),
    moment(headers.get('x-rate-limit-reset'), clock),
    duration(headers.get('x-ratelimit-reset-requests'), 1000),
  ]
  return hints.find((hint) => hint !== undefined)
}

/** `20`, `1.5`, `20s`, `1m30s`, `350ms`. */
function duration(text: string | null, bareUnitMs: number): number | undefined {
  const trimmed = text?.trim().toLowerCase() ?? ''
  if (/^-?\d+(?:\.\d+)?$/.test(trimmed)) return Math.max(0, Number(trimmed) * bareUnitMs)
  if (!/^(?:\d+(?:\.\d+)?\s*(?:ms|sec|s|min|m|h|d)\s*){1,4}$/.test(trimmed)) return undefined
  const parts = trimmed.matchAll(/(\d+(?:\.\d+)?)\s*(ms|sec|s|min|m|h|d)/g)
  return [...parts].reduce((sum, [, amount, unit = 's']) => sum + Number(amount) * (unitMs[unit] as number), 0)
}

function until(text: string | null, clock: number): number | undefined {
  const time = text === null || !/[a-z]{3}|\dT\d/i.test(text) ? Number.NaN : Date.parse(text)
  return Number.isNaN(time) ? undefined : Math.max(0, time - clock)
}

/** Seconds from now, or a time since 1970 in seconds or milliseconds: no window lasts thirty years. */
function moment(text: string | null, clock: number): number | undefined {
  const trimmed = text?.trim() ?? ''
  if (!/^\d+(?:\.\d+)?$/.test(trimmed)) return duration(text, 1000) ?? until(text, clock)
  const value = Number(trimmed)
  if (value < 1e9) return value * 1000
  return Math.max(0, (value < 1e12 ? value * 1000 : value) - clock)
}

/** The longest wait of the limits that are used up; of all of them where none says so. */
function structured(text: string | null): number | undefined {
  if (text === null || text.length > 4096) return undefined
  const legacy = /\breset=(\d+)/i.exec(text)
  if (legacy !== null) return Number(legacy[1]) * 1000
  const limits = text.split(',').flatMap((member) => {
    const wait = /;\s*t=(\d+)/.exec(member)?.[1]
    return wait === undefined ? [] : [{ wait: Number(wait) * 1000, left: Number(/;\s*r=(\d+)/.exec(member)?.[1] ?? 0) }]
  })
  const usedUp = limits.filter(({ left }) => left === 0)
  const waits = (usedUp.length > 0 ? usedUp : limits).map(({ wait }) => wait)
  return waits.length === 0 ? undefined : Math.max(...waits)
}
