import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { type ByteSource, fileSource } from '../../../../formats/byte-source.js'
import { type Codec, openCodec } from '../../../../formats/ggml/codec.js'
import { ggmlType } from '../../../../formats/ggml/types.js'
import { type MetadataValue, metadataTypeIds } from '../../../../formats/gguf/index.js'
import type { Blueprint } from '../../../../src/model/blueprint.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { withPlanMetadata } from '../../../../src/plan/plan-metadata.js'
import { planUniform, type UniformType } from '../../../../src/plan/plan-uniform.js'
import { evaluateRows, rowCount, rowLength } from '../../../../src/recipe/index.js'
import { sha256 } from '../../../support/digests.js'

// What llama.cpp's own converter makes of the samples: samples/README.md says how it was asked.

interface Golden {
  readonly metadata: Readonly<Record<string, unknown>>
  readonly tensors: readonly unknown[]
  readonly bitsPerWeight: number
  readonly elements: number
}

const root = new URL('../../../../', import.meta.url).pathname

/** As Python's json.dumps(list, ensure_ascii=False) writes it. */
const pythonJson = (items: readonly unknown[]): string => `[${items.map((item) => JSON.stringify(item)).join(', ')}]`

function digest(entry: MetadataValue): unknown {
  if (entry.type !== 'array') return { type: metadataTypeIds[entry.type], value: entry.value }
  const { elementType, value } = entry
  const array = metadataTypeIds[elementType]
  const shown =
    value.length <= 32
      ? { array, value }
      : { array, length: value.length, sha256: sha256(pythonJson(value)), head: value.slice(0, 5) }
  return { type: metadataTypeIds.array, value: shown }
}

let codec: Codec
beforeAll(async () => {
  codec = await openCodec()
})

describe.each(['llama-kjv', 'deepseek-kjv-moe'])('the sample %s', (sample) => {
  let blueprint: Blueprint
  let sources: ByteSource[]
  beforeAll(async () => {
    blueprint = await makeBlueprint(`${root}samples/${sample}`)
    sources = await Promise.all(blueprint.files.map(fileSource))
    return async () => {
      await Promise.all(sources.map((source) => source.close()))
    }
  })

  it.each<UniformType>(['F32', 'F16', 'BF16', 'Q8_0'])("becomes what llama.cpp's converter makes of it as %s", async (type) => {
    const golden = JSON.parse(await readFile(`${root}test/golden/${sample}.${type.toLowerCase()}.json`, 'utf8')) as Golden
    const plan = planUniform(blueprint, type)
    const metadata = withPlanMetadata(blueprint.metadata, plan.fileType)

    expect([...metadata].map(([key, entry]) => [key, digest(entry)])).toEqual(Object.entries(golden.metadata))
    const tensors = await Promise.all(
      blueprint.tensors.map(async ({ name, shape, recipe }, index) => {
        const { type, sizeBytes } = plan.tensors[index] as (typeof plan.tensors)[number]
        const read = async ({ file, start, end }: { file: number; start: number; end: number }): Promise<Uint8Array> =>
          (sources[file] as ByteSource).slice(start, end)
        const rows = await evaluateRows(recipe, 0, rowCount(recipe), read, codec)
        const bytes = codec.quantize(type, rows, rowLength(recipe))
        expect(bytes.byteLength).toBe(sizeBytes)
        return { name, shape: shape.toReversed(), type: ggmlType(type).id, bytes: sizeBytes, sha256: sha256(bytes) }
      }),
    )
    expect(tensors).toEqual(golden.tensors)
    expect(plan.bitsPerWeight).toBeCloseTo(golden.bitsPerWeight, 9)
  })
})
