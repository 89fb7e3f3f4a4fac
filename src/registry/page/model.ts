import { facts, type Markup, markup, section, shortNumber, table } from '../../report/index.js'
import { formatBytes, formatCount } from '../../terminal/index.js'
import { dominators, kldTradeoff, type PlottedModel, type VerifyReport } from '../../verify/index.js'
import { type ClientCommand, commandsFor } from './commands.js'
import type { TagDescription } from './describe.js'
import type { CardFacts } from './readme.js'
import { sitePage } from './site.js'

/** Contents of the page of a model. */
export interface ModelView {
  /** `NAMESPACE/NAME`. */
  readonly repository: string
  /** Address of the registry. */
  readonly url: string
  readonly tags: readonly TagDescription[]
  /** Number of tags that the page does not show. */
  readonly more: number
  readonly damaged: readonly string[]
  /** The tag whose files and commands are shown. */
  readonly chosen: TagDescription | undefined
  /** Diagram of the chosen tag's types. */
  readonly picture: Markup | undefined
  readonly readme: { readonly html: Markup; readonly facts: CardFacts } | undefined
}

/** Renders the page of one model: tags with their figures, plot, commands, diagram of the types, files, model card. */
export function modelPage(view: ModelView): string {
  const { repository, tags, more, damaged, chosen, picture, readme } = view
  const architecture = chosen?.architecture ?? tags.find((tag) => tag.architecture)?.architecture
  const weights = chosen?.elements ?? tags.find(({ elements }) => elements !== undefined)?.elements
  const lead = [architecture, weights === undefined ? undefined : `${formatCount(weights)} weights`, `${tags.length + more} tags`]
  const front = readme?.facts
  return sitePage(`${repository}, mq registry`, [
    markup`<h1>${repository}</h1><p class="lead">${lead.filter((words) => words !== undefined).join(', ')}</p>`,
    front?.license === undefined && front?.baseModel === undefined
      ? undefined
      : facts([
          ['license', front.license],
          ['base model', front.baseModel],
        ]),
    section('Tags', tagTable(view), more > 0 ? markup`<p class="after">and ${more} more tags</p>` : undefined),
    damaged.length === 0
      ? undefined
      : markup`<p class="after">Damaged: ${damaged.join(', ')}. Run <code>mq registry fsck</code>.</p>`,
    paretoSection(tags),
    chosen === undefined ? undefined : commandSection(view, chosen),
    chosen === undefined ? undefined : contentSection(view, chosen, picture),
    readme === undefined ? undefined : section('Model card', markup`<div class="readme">${readme.html}</div>`),
  ])
}

function tagTable({ repository, tags, chosen }: ModelView): Markup {
  const columns = ['tag', 'bits per weight', 'size', 'perplexity', 'KL divergence', 'same top token', 'report'].map((title) => ({
    title,
  }))
  const rows = tags.map((tag) => {
    const { report } = tag
    const isChosen = tag === chosen
    const name = markup`<a href="/${repository}?tag=${encodeURIComponent(tag.tag)}#get"${isChosen ? markup` aria-current="true"` : undefined}>${tag.tag}</a>`
    return {
      cells: [
        name,
        tag.bitsPerWeight === undefined ? '' : tag.bitsPerWeight.toFixed(3),
        formatBytes(tag.sizeBytes),
        report === undefined ? '' : estimated(report.perplexity),
        report?.divergence === undefined ? '' : estimated(report.divergence.kld.mean),
        report?.divergence === undefined ? '' : `${(100 * report.divergence.sameTop.value).toFixed(2)} %`,
        report === undefined
          ? ''
          : markup`<a href="/${repository}/report/${encodeURIComponent(tag.tag)}">${report.passed ? 'passed' : 'failed'}</a>`,
      ],
    }
  })
  return table(columns, rows)
}

function estimated({ value, standardError }: { value: number; standardError: number }): Markup {
  return markup`${shortNumber(Number(value.toPrecision(4)))} <span class="error">± ${shortNumber(Number(standardError.toPrecision(2)))}</span>`
}

/** Renders the Pareto plot. Figures of different texts or references are not comparable: the largest comparable group of tags is plotted. */
function paretoSection(tags: readonly TagDescription[]): Markup | undefined {
  const groups = new Map<string, { tag: TagDescription; report: VerifyReport; kld: PlottedModel['divergence']['kld'] }[]>()
  for (const tag of tags) {
    const { report } = tag
    if (report?.divergence === undefined) continue
    const key = `${report.text.sha256} ${report.text.chunks} ${report.text.contextLength} ${report.reference.name}`
    groups.set(key, [...(groups.get(key) ?? []), { tag, report, kld: report.divergence.kld }])
  }
  const [group] = [...groups.values()].toSorted((a, b) => b.length - a.length)
  if (group === undefined || group.length < 2) return undefined
  const dominated = dominators(group.map(({ tag, kld }) => ({ sizeBytes: tag.sizeBytes, kld: kld.mean.value })))
  const plotted = group.map(({ tag, kld }, index) => ({
    name: tag.tag,
    sizeBytes: tag.sizeBytes,
    onFront: dominated[index] === undefined,
    divergence: { kld },
  }))
  const [first] = group
  const others = groups.size > 1 ? ` Tags that were measured otherwise are not drawn.` : ''
  const words = `Against ${first?.report.reference.name} on ${first?.report.text.name}, ${first?.report.text.chunks} chunks of ${first?.report.text.contextLength} tokens.${others}`
  return section('Size against divergence', kldTradeoff(plotted), markup`<p class="after">${words}</p>`)
}

function commandSection({ repository, url }: ModelView, chosen: TagDescription): Markup {
  const all = commandsFor({ url, repository, tag: chosen.tag, paths: chosen.files.map(({ path }) => path) })
  return markup`<section id="get"><h2>Get ${repository}:${chosen.tag}</h2><div class="commands">${all.map(commandBlock)}</div></section>
`
}

function commandBlock({ client, command, note }: ClientCommand): Markup {
  return markup`<div><h3>${client}</h3><pre tabindex="0">${command}</pre>${note === undefined ? undefined : markup`<p>${note}</p>`}</div>
`
}

function contentSection({ repository }: ModelView, { tag, files, digest, provenance }: TagDescription, picture?: Markup): Markup {
  const at = `/${repository}/resolve/${encodeURIComponent(tag)}`
  const rows = files.map((file) => ({
    cells: [
      markup`<a href="${at}/${file.path.split('/').map(encodeURIComponent).join('/')}" download>${file.path}</a>`,
      formatBytes(file.sizeBytes),
      markup`<code>${file.digest.slice('sha256:'.length, 'sha256:'.length + 16)}…</code>`,
    ],
  }))
  return section(
    `What ${tag} holds`,
    facts([
      ['manifest', markup`<code>${digest}</code>`],
      ...Object.entries(provenance).map(([name, value]) => [name, markup`<code>${value}</code>`] as const),
    ]),
    picture === undefined
      ? undefined
      : markup`<details open><summary>Types of the tensors</summary><div class="picture" tabindex="0" role="region" aria-label="Types of the tensors">${picture}</div></details>`,
    markup`<details${files.length <= 12 ? markup` open` : undefined}><summary>${files.length} files</summary>${table([{ title: 'file' }, { title: 'size' }, { title: 'SHA-256' }], rows)}</details>`,
  )
}
