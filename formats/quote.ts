const maxLength = 100

/** An untrusted value for a message: as JSON, on one line, and never longer than a line. */
export function quote(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  const short = typeof value === 'string' ? value.slice(0, maxLength) : value
  const json = JSON.stringify(short, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item)) ?? 'nothing'
  return json.length <= maxLength ? json : `${json.slice(0, maxLength)}…`
}
