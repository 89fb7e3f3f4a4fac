import { type Markup, markup, page, section, table, tiles } from '../report/index.js'
import { formatSeconds } from '../terminal/index.js'
import { isOurs } from './presence.js'
import type { FarmStatus } from './status.js'

/** Interval at which an open page updates, in seconds. */
const refreshSeconds = 3

/** Path of {@link statusScript}. */
export const statusScriptPath = '/-/status.js'

/** Replaces the main part of the page by the current one. Without scripts the page reloads instead. */
export const statusScript = `setInterval(async () => {
  const status = document.getElementById('connection')
  try {
    const answer = await fetch('/', { cache: 'no-store', signal: AbortSignal.timeout(10000) })
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
    document.getElementById('main').replaceWith(fresh.getElementById('main'))
    document.title = fresh.title
    status.textContent = ''
  } catch {
    status.textContent = 'mq farm status does not answer: the page shows what it last said.'
  }
}, ${1000 * refreshSeconds})
`

/** Style of the page, in addition to that of reports. */
const style = `
.banner{border-bottom:1px solid var(--rule);background:var(--raised)}
.banner div{max-width:1120px;margin:0 auto;padding:12px 28px;display:flex;flex-wrap:wrap;gap:10px 24px;justify-content:space-between}
.banner strong{font-weight:650}.banner p{margin:0;color:var(--bad)}
main{padding-top:32px}
a{color:var(--s1)}
:focus-visible{outline:2px solid var(--s1);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px}.skip:focus{left:12px;top:12px;background:var(--raised);padding:8px 14px;z-index:1}
.tiles{grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}
progress{width:9em;height:9px;accent-color:var(--s1)}
@media (max-width:620px){.banner div{padding:10px 14px}}
`

/** Content of the page: the status, and the reason if it is not the current one. */
export interface StatusView {
  /** Undefined where the broker has not answered yet. */
  readonly status: FarmStatus | undefined
  /** When the status was read. */
  readonly readAt: Date | undefined
  readonly problem: string | undefined
}

/** Renders the page of a farm: rate and time left, units by kind, builds, workers. All text from the broker is escaped. */
export function farmPage({ status, readAt, problem }: StatusView): string {
  const banner = markup`<a class="skip" href="#main">Skip to the content</a>
<header class="banner"><div><strong>mq farm</strong><p id="connection" role="status"></p></div></header>`
  const head = markup`<noscript><meta http-equiv="refresh" content="${refreshSeconds}"/></noscript>`
  const title = status === undefined ? 'mq farm' : `Farm ${status.farm} at ${status.broker}`
  const seen = readAt === undefined ? '' : `As of ${readAt.toISOString().slice(0, 19).replace('T', ' ')} UTC. `
  const content = [
    markup`<h1>${title}</h1><p class="lead">${seen}Metrics for Prometheus are at <a href="/metrics">/metrics</a>, the same data as JSON at <a href="/status.json">/status.json</a>.</p>`,
    problem === undefined ? undefined : markup`<p class="verdict failed" role="alert">${problem}</p>`,
    ...(status === undefined ? [] : statusSections(status)),
  ]
  return page(title, content, { banner, head, style, script: statusScriptPath, fetches: true })
}

function statusSections(status: FarmStatus): (Markup | undefined)[] {
  const { builds, workers, kinds, units, unitsPerMinute, secondsLeft } = status
  const failed = kinds.reduce((sum, kind) => sum + kind.failed, 0)
  return [
    tiles([
      { name: 'Builds', value: String(builds.length) },
      { name: 'Workers', value: String(workers.length), note: `${workers.filter(({ unit }) => unit !== undefined).length} busy` },
      { name: 'Units running', value: String(units.active), note: `${units.waiting + units.delayed} wait` },
      {
        name: 'Units done',
        value: String(builds.reduce((sum, { done }) => sum + done, 0)),
        note: failed === 0 ? undefined : markup`<span class="failed-mark">${failed} failed</span>`,
      },
      { name: 'Units per minute', value: unitsPerMinute === 0 ? '–' : unitsPerMinute.toFixed(1) },
      {
        name: 'Time left',
        value: secondsLeft === undefined ? '–' : formatSeconds(secondsLeft),
        note: 'for the units in the queue',
      },
    ]),
    section('Units by kind', kinds.length === 0 ? markup`<p>No build hands out units.</p>` : kindTable(status)),
    section('Builds', builds.length === 0 ? markup`<p>None: <code>mq build --queue</code> starts one.</p>` : buildTable(status)),
    section(
      'Workers',
      workers.length === 0 ? markup`<p>None: <code>mq worker --queue</code> starts one.</p>` : workerTable(status),
    ),
  ]
}

function kindTable({ kinds }: FarmStatus): Markup {
  const columns = ['kind', 'done', 'running', 'waiting', 'failed', 'progress'].map((title) => ({ title }))
  const rows = kinds.map(({ kind, done, running, waiting, failed }) => {
    const all = done + running + waiting + failed
    const bar = markup`<progress max="${Math.max(1, all)}" value="${done}" aria-label="${kind}: ${done} of ${all} done"></progress>`
    return { cells: [kind, String(done), String(running), String(waiting), failureCell(failed), bar] }
  })
  return table(columns, rows)
}

function failureCell(failed: number): string | Markup {
  return failed === 0 ? '0' : markup`<span class="failed-mark">${failed}</span>`
}

function buildTable({ builds }: FarmStatus): Markup {
  const columns = [
    { title: 'folder' },
    { title: 'host', left: true },
    { title: 'process' },
    { title: 'done' },
    { title: 'to do' },
    { title: 'since', left: true },
  ]
  const rows = builds.map(({ folder, host, pid, done, waiting, startedAt, version }) => ({
    cells: [folder, withVersion(host, version), String(pid), String(done), String(waiting), shownTime(startedAt)],
    isBack: !isOurs({ version }),
  }))
  return table(columns, rows)
}

function workerTable({ workers }: FarmStatus): Markup {
  const columns = [
    { title: 'worker' },
    { title: 'host', left: true },
    { title: 'process' },
    { title: 'threads' },
    { title: 'done' },
    { title: 'failed' },
    { title: 'busy' },
    { title: 'unit', left: true },
  ]
  const rows = workers.map(({ id, host, pid, threads, done, failed, busySeconds, unit, version }) => ({
    cells: [
      id,
      withVersion(host, version),
      String(pid),
      threads === 0 ? 'all' : String(threads),
      String(done),
      failureCell(failed),
      formatSeconds(busySeconds),
      unit ?? 'none',
    ],
    isBack: !isOurs({ version }),
  }))
  return table(columns, rows)
}

/** Returns a host, with the version of mq if it differs from this one. */
function withVersion(host: string, version: string): string {
  return isOurs({ version }) ? host : `${host}, mq ${version}`
}

function shownTime(text: string): string {
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? '' : `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
