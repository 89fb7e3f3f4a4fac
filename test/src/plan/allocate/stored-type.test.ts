import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkpointSpecs, writeCheckpointOf } from '../../../../bench/coverage/checkpoints/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import type { Blueprint } from '../../../../src/model/index.js'
import { parseTensorTypes, planPreset, planType } from '../../../../src/plan/allocate/index.js'
import type { Plan } from '../../../../src/plan/plan.js'

describe('weights that a checkpoint has in MXFP4', () => {
  let folder = ''
  let blueprint: Blueprint
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-stored-'))
    const spec = checkpointSpecs.find(({ name }) => name === 'gpt-oss')
    if (spec === undefined) throw new Error('there is no case gpt-oss')
    blueprint = await makeBlueprint(await writeCheckpointOf(spec, folder))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const expertType = ({ tensors }: Plan): string | undefined =>
    tensors.find(({ name }) => name === 'blk.1.ffn_up_exps.weight')?.type

  it('stay so where a type or preset would need more bits', () => {
    expect(expertType(planType(blueprint, 'Q8_0'))).toBe('MXFP4')
    expect(expertType(planPreset(blueprint, 'Q6_K'))).toBe('MXFP4')
  })

  it('get what the user names', () => {
    const overrides = parseTensorTypes(['_exps=Q8_0'])
    expect(expertType(planType(blueprint, 'Q8_0', { overrides }))).toBe('Q8_0')
  })
})
