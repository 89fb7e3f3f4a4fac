import { basename, join } from 'node:path'
import { makeBlueprint } from '../../src/model/convert/index.js'
import type { Blueprint } from '../../src/model/index.js'
import { usefulChanges, widen } from '../../src/model/widen/index.js'
import { makePlan } from '../../src/plan/make-plan.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { foreign } from '../foreign.js'
import { type OssSizes, ossPre, writeOss } from './gpt-oss.js'

/** What widening costs when a file is made and when it runs. */
export interface WideningSpeed {
  readonly type: string
  /** Elements of the wide model over those of the model. */
  readonly elements: number
  /**
   * CPU seconds of quantizing the model as it is, where rows that do not fit have fallback types, over those of the wide one, which has the same
   * weights; the least of the rounds.
   */
  readonly quantizing: number
  /** The same of a model that has the wide one's sizes by itself, for each weight: in the same types. */
  readonly sameTypes: number
  /** Tokens a second of the wide file over those of the narrow file, as llama-bench has them; undefined where it is not there. */
  readonly prompt?: number | undefined
  readonly generation?: number | undefined
}

/**
 * Quantizes a model like gpt-oss, as it is and widened, in turns, and runs llama-bench with both, in turns.
 * @param type of all matrices; of the model as it is the fallback where rows do not fit.
 */
export async function benchSpeed(folder: string, sizes: OssSizes, type: string, rounds: number): Promise<WideningSpeed> {
  const narrow = await makeBlueprint(await writeOss(folder, sizes), { pre: ossPre })
  const wide = widen(narrow, usefulChanges(narrow))
  const hidden = Number(wide.metadata.get('gpt-oss.embedding_length')?.value)
  const whole = await makeBlueprint(await writeOss(join(folder, 'whole'), { ...sizes, hidden }), { pre: ossPre })
  const forms = { narrow, wide, whole } as const
  const seconds: Record<keyof typeof forms, number[]> = { narrow: [], wide: [], whole: [] }
  const tokens: Record<keyof typeof forms, { prompt: number[]; generation: number[] }> = {
    narrow: { prompt: [], generation: [] },
    wide: { prompt: [], generation: [] },
    whole: { prompt: [], generation: [] },
  }
  const hasBench = foreign.available && foreign.has('llama-bench')
  for (let round = 0; round < rounds; round++) {
    for (const [name, model] of Object.entries(forms) as [keyof typeof forms, Blueprint][]) {
      const plan = await finish(makePlan(model, { kind: 'type', type }))
      const path = join(folder, `${name}.gguf`)
      const before = process.cpuUsage()
      await finish(quantize({ blueprint: model, plan, output: path, threads: 1, force: true }))
      const { user, system } = process.cpuUsage(before)
      seconds[name].push((user + system) / 1e6)
      if (hasBench && name !== 'whole') {
        const { prompt, generation } = await llamaBench(path)
        tokens[name].prompt.push(prompt)
        tokens[name].generation.push(generation)
      }
    }
  }
  const ratio = (ofWide: number[], ofNarrow: number[]): number => best(ofWide) / best(ofNarrow)
  return {
    type,
    elements: elementsOf(wide) / elementsOf(narrow),
    quantizing: Math.min(...seconds.narrow) / Math.min(...seconds.wide),
    sameTypes: Math.min(...seconds.whole) / elementsOf(whole) / (Math.min(...seconds.wide) / elementsOf(narrow)),
    ...(hasBench && {
      prompt: ratio(tokens.wide.prompt, tokens.narrow.prompt),
      generation: ratio(tokens.wide.generation, tokens.narrow.generation),
    }),
  }
}

/** The best of several rounds: other work only slows things down. */
function best(values: readonly number[]): number {
  return Math.max(...values)
}

async function llamaBench(path: string): Promise<{ readonly prompt: number; readonly generation: number }> {
  const args = ['-m', basename(path), '-p', '64', '-n', '16', '-r', '3', '-t', '1', '-o', 'json']
  const { stdout } = await foreign.run('llama-bench', args, { cwd: join(path, '..'), timeout: 300_000 })
  const runs = JSON.parse(stdout) as { readonly n_prompt: number; readonly samples_ts: readonly number[] }[]
  const bestOf = (isPrompt: boolean): number =>
    best(runs.filter(({ n_prompt }) => n_prompt > 0 === isPrompt).flatMap((run) => run.samples_ts))
  return { prompt: bestOf(true), generation: bestOf(false) }
}

function elementsOf({ tensors }: Blueprint): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
}
