import { expect, test } from 'vitest'
import { repositoryPath } from '../../../../bench/quality-subject.js'
import { openCodec } from '../../../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlTypes } from '../../../../formats/ggml/types.js'
import { measure } from '../../../../src/engine/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { typicalErrors } from '../../../../src/plan/allocate/typical-errors.js'
import { finish } from '../../../../src/progress/index.js'

test('typical errors are there for every type that a kernel writes, and near those of a matrix', async () => {
  const codec = await openCodec()
  const plain: readonly GgmlTypeName[] = ['F32', 'F16', 'BF16']
  const types = ggmlTypes.map(({ name }) => name).filter((type) => codec.canQuantize(type) && !plain.includes(type))
  expect(Object.keys(typicalErrors).toSorted()).toEqual(types.toSorted())
  const blueprint = await makeBlueprint(repositoryPath('samples/llama-kjv'))
  const tensor = 'blk.1.ffn_gate.weight'
  const measured = (await finish(measure({ blueprint, requests: [{ tensor, types }], threads: 1 }))).get(tensor)
  for (const type of types) {
    const ratio = (measured?.get(type)?.relativeError ?? Number.NaN) / (typicalErrors[type] ?? Number.NaN)
    expect(Math.abs(Math.log(ratio)), type).toBeLessThan(Math.log(1.15))
  }
})
