import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { foreign } from '../foreign.js'
import { betterReason, comparable } from './better.js'
import { type CheckpointSpec, writeCheckpointOf } from './checkpoints/index.js'
import { digestGguf, firstDifference, type GgufDigest } from './digest.js'
import { goldenTypes, readGolden, writeGolden } from './golden.js'
import { kinCases } from './kin.js'
import { convertOurs } from './ours.js'
import { forwardPasses, type Loaded, loadAndMeasure } from './perplexity.js'
import { projectRoot } from './root.js'
import { convertUpstream } from './upstream.js'

/** How our GGUF of a class compares with that of llama.cpp's converter. */
export interface CoverageRow {
  /** Name under `architectures` in config.json. */
  readonly class: string
  /** Name of the checkpoint: some classes have several. */
  readonly name: string
  readonly arch: string
  /** `failed`: llama.cpp's converter does not take the checkpoint. */
  readonly state: 'equal' | 'differs' | 'refused' | 'failed'
  /** The first difference, the code of the refusal, the converter's error. */
  readonly detail?: string
  /** What differs on purpose where it is equal, in words. */
  readonly better?: string
  /** Whether llama.cpp loads our file; absent where it was not tried. */
  readonly loads?: boolean
  readonly ppl?: number
  readonly upstreamPpl?: number
  readonly transformersPpl?: number
  /** Of an encoder, in place of perplexities: one minus the cosine of the angle between our embedding and transformers'. */
  readonly distance?: number
  readonly transformersVersion?: string
  /** What transformers finds odd in the checkpoint, or why it has no perplexity. */
  readonly transformers?: string
}

export interface CoverageOptions {
  readonly specs: readonly CheckpointSpec[]
  /** Runs llama.cpp's converter anew; by default the golden files serve. */
  readonly upstream: boolean
  /** Loads our files, and those of the converter where it has run. */
  readonly load: boolean
  /** Measures perplexities of what is loaded. */
  readonly measure: boolean
  /** Writes the golden files. */
  readonly update: boolean
  /** Keeps the checkpoints and GGUF files here. */
  readonly folder?: string
  /** Python whose transformers to compare with; by default the foreign root's. */
  readonly python?: string
  readonly say: (text: string) => void
}

interface Case {
  readonly spec: CheckpointSpec
  readonly className: string
  /** Folder that its checkpoint lies in; its files stand beside it. */
  readonly folder: string
}

type Digests = Readonly<Record<(typeof goldenTypes)[number], GgufDigest>>

/** Compares every class of the specifications with llama.cpp's converter. */
export async function benchCoverage(options: CoverageOptions): Promise<CoverageRow[]> {
  const parent = options.folder ?? (await mkdtemp(join(tmpdir(), 'mq-coverage-')))
  try {
    const cases = await writeCases(options.specs, parent)
    const theirs = options.upstream || options.update ? await runUpstream(cases, parent, options) : await readGoldens(cases)
    const rows: CoverageRow[] = []
    const loaded = new Map<Case, Loaded>()
    for (const item of cases) {
      options.say(item.className)
      const row = await compare(item, theirs.get(item))
      if (!options.load) {
        rows.push(row)
        continue
      }
      const [measured, of] = await measure(item, row, options)
      if (of !== undefined) loaded.set(item, of)
      rows.push(measured)
    }
    return options.load && options.measure ? await addForward(parent, cases, rows, loaded, options.python) : rows
  } finally {
    if (options.folder === undefined) await rm(parent, { recursive: true, force: true })
  }
}

/** A folder of its own for each class: the folder's name is the model's. */
async function writeCases(specs: readonly CheckpointSpec[], parent: string): Promise<Case[]> {
  const cases: Case[] = []
  for (const spec of specs) {
    for (const className of spec.classes) {
      const folder = await writeCheckpointOf(spec, join(parent, className), className)
      cases.push({ spec, className, folder })
    }
  }
  return cases
}

async function readGoldens(cases: readonly Case[]): Promise<Map<Case, Digests | string>> {
  const found = new Map<Case, Digests | string>()
  for (const item of cases) found.set(item, (await readGolden(item.spec)) ?? 'there is no golden file')
  return found
}

async function runUpstream(
  cases: readonly Case[],
  parent: string,
  options: CoverageOptions,
): Promise<Map<Case, Digests | string>> {
  options.say(`llama.cpp's converter on ${cases.length} checkpoints`)
  if (!foreign.available) throw new Error(foreign.name)
  const jobs = cases.map(({ spec, folder }) => ({
    folder,
    pre: spec.pre,
    types: goldenTypes,
    options: spec.options?.upstream ?? [],
    plainConfig: spec.plainConfig !== undefined,
  }))
  const failures = await convertUpstream(parent, jobs)
  const found = new Map<Case, Digests | string>()
  for (const item of cases) {
    const failure = goldenTypes.map((type) => failures.get(`${item.folder}.${type}`)).find((text) => text !== undefined)
    if (failure !== undefined) {
      found.set(item, failure)
      continue
    }
    const [f32, bf16] = await Promise.all(goldenTypes.map((type) => digestGguf(`${item.folder}.${type}.gguf`)))
    if (f32 === undefined || bf16 === undefined) throw new Error(`${item.folder} was not converted`)
    const golden = { f32, bf16 }
    found.set(item, golden)
    const first = cases.find(({ spec }) => spec === item.spec)
    const other = first === undefined ? undefined : found.get(first)
    if (item === first) {
      if (options.update) await writeGolden(item.spec, golden)
    } else if (typeof other === 'object') {
      const difference = firstDifference(f32, other.f32)
      if (difference !== undefined) throw new Error(`${item.className} is not converted as ${first?.className}: ${difference}`)
    }
  }
  return found
}

async function compare({ spec, className, folder }: Case, theirs: Digests | string | undefined): Promise<CoverageRow> {
  const row = { class: className, name: spec.name, arch: spec.arch }
  const outputs = { f32: `${folder}.ours.f32.gguf`, bf16: `${folder}.ours.bf16.gguf` }
  for (const output of Object.values(outputs)) await rm(output, { force: true })
  const refusals = await convertOurs(folder, outputs, spec.options?.mq)
  for (const type of goldenTypes) {
    const refusal = refusals[type]
    if (typeof theirs !== 'object') {
      const own = refusal === undefined ? 'ours is written' : `ours: ${refusal.code}`
      return { ...row, state: 'failed', detail: `${theirs ?? ''} (${own})` }
    }
    if (refusal !== undefined) return { ...row, state: 'refused', detail: `${refusal.code}: ${refusal.message}` }
    const [mine, their] = [await digestGguf(outputs[type]), theirs[type]].map((digest) => comparable(spec.name, digest)) as [
      GgufDigest,
      GgufDigest,
    ]
    const difference = firstDifference(mine, their)
    if (difference !== undefined) return { ...row, state: 'differs', detail: `${type}: ${difference}` }
  }
  return { ...row, state: 'equal', better: betterReason(spec.name) }
}

async function sampleText(): Promise<string> {
  const text = await readFile(join(projectRoot, 'samples', 'text', 'kjv-heldout.txt'), 'utf8')
  return text.slice(0, 2000)
}

/** Loads our file and, where it was made, llama.cpp's own. */
async function measure(item: Case, row: CoverageRow, options: CoverageOptions): Promise<[CoverageRow, Loaded | undefined]> {
  const upstream = options.measure && (options.upstream || options.update)
  const text = await sampleText()
  const what = !options.measure ? 'load' : item.spec.encoder === true ? 'embedding' : 'perplexity'
  const ours =
    row.state === 'equal' || row.state === 'differs'
      ? await loadAndMeasure(`${item.folder}.ours.f32.gguf`, text, what)
      : undefined
  const theirs = upstream && row.state !== 'failed' ? await loadAndMeasure(`${item.folder}.f32.gguf`, text, what) : undefined
  const { failure } = ours ?? theirs ?? {}
  return [
    {
      ...row,
      loads: ours === undefined ? undefined : ours.failure === undefined,
      detail: row.detail ?? failure,
      ppl: ours?.perplexity,
      upstreamPpl: theirs?.perplexity,
    },
    ours?.ids === undefined ? theirs : ours,
  ]
}

async function addForward(
  parent: string,
  cases: readonly Case[],
  rows: readonly CoverageRow[],
  loaded: ReadonlyMap<Case, Loaded>,
  python: string | undefined,
): Promise<CoverageRow[]> {
  if (!foreign.available && python === undefined) return [...rows]
  const known = cases.filter(({ spec }) => spec.withoutTransformers === undefined || kinCases.includes(spec.name))
  const jobs = known.map((item) => {
    const { ids = [], bos = null, vector } = loaded.get(item) ?? {}
    return { folder: item.folder, name: item.spec.name, className: item.className, ids, bos, vector }
  })
  const found = await forwardPasses(parent, jobs, python)
  return rows.map((row, index) => {
    const forward = found.get((cases[index] as Case).folder)
    const odd = [forward?.loading, forward?.failure].filter((text) => text !== undefined).join('; ')
    return {
      ...row,
      transformersPpl: forward?.perplexity,
      distance: forward?.distance,
      transformersVersion: forward?.version,
      transformers: odd === '' ? undefined : odd,
    }
  })
}
