import * as v from 'valibot'
import { present } from './base.js'
import type { ModelConfig } from './config.js'
import { uint32 } from './metadata.js'
import type { Entry } from './types.js'

/** enum llama_pooling_type. */
export const poolingTypes = { none: 0, mean: 1, cls: 2, last: 3, rank: 4 } as const

/** What sentence-transformers calls its ways to pool, in the order in which llama.cpp's converter looks for them. */
const modes = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_cls_token: 'cls',
  pooling_mode_lasttoken: 'last',
} as const
const modeNames = { mean: 'mean', cls: 'cls', lasttoken: 'last' } as const

const moduleList = v.array(v.looseObject({ type: v.string(), path: v.nullish(v.string()) }))

/**
 * How the states of all tokens become one vector, from modules.json of sentence-transformers.
 * @throws MqError CONFIG_INVALID where it is a way that llama.cpp does not have.
 */
export async function poolingKeys(config: ModelConfig): Promise<Entry[]> {
  const { checkpoint } = config
  const text = await checkpoint.readText('modules.json')
  if (text === undefined) return []
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw config.invalid('modules.json beside it is not JSON')
  }
  const modules = v.safeParse(moduleList, parsed)
  const path = modules.success ? modules.output.find(({ type }) => type.endsWith('Pooling'))?.path : undefined
  if (path === undefined || path === null) return []
  const pooling = (await checkpoint.readJson(`${path}/config.json`)) ?? {}
  const flagged = Object.entries(modes).find(([name]) => pooling[name] === true)?.[1]
  const named = pooling['pooling_mode']
  const mode =
    flagged ??
    (typeof named === 'string' && Object.hasOwn(modeNames, named) ? modeNames[named as keyof typeof modeNames] : undefined)
  if (mode === undefined) throw config.invalid(`${path}/config.json asks for a pooling that is neither mean, cls nor last token`)
  return present('pooling_type', poolingTypes[mode], uint32)
}
