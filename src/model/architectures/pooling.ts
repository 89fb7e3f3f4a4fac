import * as v from 'valibot'
import { present } from './base.js'
import type { ModelConfig } from './config.js'
import { text, uint32 } from './metadata.js'
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
 * How the states of all tokens become one vector, from modules.json of sentence-transformers or embedding_config.json; and how it is done
 * before a classifier.
 * @throws MqError CONFIG_INVALID where it is a way that llama.cpp does not have.
 */
export async function poolingKeys(config: ModelConfig): Promise<Entry[]> {
  const mode = (await modeOfModules(config)) ?? (await modeOfEmbeddingConfig(config))
  return [
    ...present('pooling_type', mode === undefined ? undefined : poolingTypes[mode], uint32),
    ...present('classifier.pooling_type', config.find(v.picklist(['cls', 'mean']), 'classifier_pooling'), (name) =>
      uint32(poolingTypes[name]),
    ),
    ...present('classifier.activation', config.find(v.picklist(['gelu', 'silu', 'tanh']), 'classifier_activation'), text),
  ]
}

async function modeOfModules(config: ModelConfig): Promise<keyof typeof poolingTypes | undefined> {
  const { checkpoint } = config
  const content = await checkpoint.readText('modules.json')
  if (content === undefined) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch {
    throw config.invalid('modules.json beside it is not JSON')
  }
  const modules = v.safeParse(moduleList, parsed)
  const path = modules.success ? modules.output.find(({ type }) => type.endsWith('Pooling'))?.path : undefined
  if (path === undefined || path === null) return undefined
  const pooling = (await checkpoint.readJson(`${path}/config.json`)) ?? {}
  const flagged = Object.entries(modes).find(([name]) => pooling[name] === true)?.[1]
  const named = pooling['pooling_mode']
  const mode =
    flagged ??
    (typeof named === 'string' && Object.hasOwn(modeNames, named) ? modeNames[named as keyof typeof modeNames] : undefined)
  if (mode === undefined) throw config.invalid(`${path}/config.json asks for a pooling that is neither mean, cls nor last token`)
  return mode
}

async function modeOfEmbeddingConfig(config: ModelConfig): Promise<keyof typeof poolingTypes | undefined> {
  const pooling = (await config.checkpoint.readJson('embedding_config.json'))?.['pooling']
  if (pooling === undefined || pooling === null) return undefined
  if (pooling !== 'last_token') throw config.invalid('embedding_config.json asks for a pooling other than of the last token')
  return 'last'
}
