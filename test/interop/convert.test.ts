import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Codec, openCodec } from '../../formats/ggml/codec.js'
import { ggmlType } from '../../formats/ggml/types.js'
import { metadataTypeIds } from '../../formats/gguf/index.js'
import { makeBlueprint, planUniform } from '../../src/convert/index.js'
import { withPlanMetadata } from '../../src/plan-metadata.js'
import { evaluateRows, rowCount, rowLength } from '../../src/recipe/index.js'
import { openBlueprintFiles } from '../support/blueprint-files.js'
import { variants } from '../support/checkpoint-variants.js'
import { writeCheckpoint } from '../support/checkpoints.js'
import { foreign } from '../support/foreign.js'

// llama.cpp's own converter, on checkpoints of the shapes that the samples do not show. Debian keeps its modules in the folder below.

/** Converts each folder named on the command line to F32 and Q8_0, and writes what the files hold. The pre-tokenizer is given by hand. */
const script = `
import hashlib, json, runpy, sys
import numpy as np
sys.path.insert(1, '/usr/share/llama.cpp/llama.cpp-tools')
import conversion.base, gguf
pre = {'': ''}
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre['']
found = {}
for folder, pre[''] in zip(sys.argv[1::2], sys.argv[2::2]):
    arguments = sys.argv
    for kind in ('f32', 'q8_0'):
        out = f'{folder}.{kind}.gguf'
        sys.argv = ['convert', folder, '--outtype', kind, '--outfile', out]
        runpy.run_path('/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py', run_name='__main__')
        reader = gguf.GGUFReader(out)
        keys = [(f.name, [int(t) for t in f.types], f.contents()) for f in reader.fields.values() if not f.name.startswith('GGUF.')]
        tensors = [[t.name, [int(n) for n in t.shape], int(t.tensor_type), hashlib.sha256(np.ascontiguousarray(t.data).tobytes()).hexdigest()] for t in reader.tensors]
        found[out] = {'keys': keys, 'tensors': tensors}
    sys.argv = arguments
json.dump(found, open(sys.argv[1] + '.json', 'w'))
`

interface Found {
  readonly keys: readonly [string, number[], unknown][]
  readonly tensors: readonly unknown[]
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe.skipIf(!foreign.available)(`llama.cpp's converter (${foreign.name})`, () => {
  let folder: string
  let codec: Codec
  let upstream: Record<string, Found>
  const cases = Object.entries(variants)
  const pre = (name: string): string => (name.startsWith('deepseek') ? 'deepseek-v3' : 'llama-bpe')

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-convert-'))
    codec = await openCodec()
    for (const [name, variant] of cases) await writeCheckpoint(join(folder, name), variant)
    const args = cases.flatMap(([name]) => [join(folder, name), pre(name)])
    await writeFile(join(folder, 'convert.py'), script)
    await foreign.run('python3', ['convert.py', ...args], { cwd: folder, timeout: 240_000 })
    upstream = JSON.parse(await readFile(`${args[0] ?? ''}.json`, 'utf8')) as Record<string, Found>
  }, 300_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(cases.flatMap(([name]) => [[name, 'F32'] as const, [name, 'Q8_0'] as const]))(
    'agrees on %s as %s',
    async (name, type) => {
      const blueprint = await makeBlueprint(join(folder, name))
      const plan = planUniform(blueprint, type)
      const expected = upstream[join(folder, `${name}.${type.toLowerCase()}.gguf`)] as Found
      const keys = [...withPlanMetadata(blueprint.metadata, plan.fileType)].map(([key, entry]) => [
        key,
        entry.type === 'array' ? [metadataTypeIds.array, metadataTypeIds[entry.elementType]] : [metadataTypeIds[entry.type]],
        entry.value,
      ])
      expect(keys).toEqual(expected.keys)

      await using files = await openBlueprintFiles(blueprint)
      const tensors = await Promise.all(
        blueprint.tensors.map(async ({ name, shape, recipe }, index) => {
          const { type } = plan.tensors[index] as (typeof plan.tensors)[number]
          const rows = await evaluateRows(recipe, 0, rowCount(recipe), files.read, codec)
          return [name, shape.toReversed(), ggmlType(type).id, sha256(codec.quantize(type, rows, rowLength(recipe)))]
        }),
      )
      expect(tensors).toEqual(expected.tensors)
    },
  )
})
