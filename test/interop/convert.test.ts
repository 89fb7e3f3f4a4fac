import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openGguf } from '../../formats/gguf/index.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import { planUniform } from '../../src/plan/plan-uniform.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { variants } from '../support/checkpoint-variants.js'
import { writeCheckpoint } from '../support/checkpoints.js'
import { foreign } from '../support/foreign.js'

/**
 * Converts each folder named on the command line to F32 and Q8_0 with llama.cpp's own converter, which Debian keeps in two places. The
 * name of the pre-tokenizer stands after each folder, since the converter knows it by a hash of a public vocabulary.
 */
const script = `
import runpy, sys
sys.path.insert(1, '/usr/share/llama.cpp/llama.cpp-tools')
import conversion.base
pre = {}
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre['name']
for folder, pre['name'] in list(zip(sys.argv[1::2], sys.argv[2::2])):
    for kind in ('f32', 'q8_0'):
        sys.argv = ['convert', folder, '--outtype', kind, '--outfile', f'{folder}.{kind}.gguf']
        runpy.run_path('/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py', run_name='__main__')
`

describe.skipIf(!foreign.available)(`llama.cpp's converter (${foreign.name})`, () => {
  const cases = Object.entries(variants)
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-convert-'))
    for (const [name, variant] of cases) await writeCheckpoint(join(folder, name), variant)
    const args = cases.flatMap(([name]) => [join(folder, name), name.startsWith('deepseek') ? 'deepseek-v3' : 'llama-bpe'])
    await writeFile(join(folder, 'convert.py'), script)
    await foreign.run('python3', ['convert.py', ...args], { cwd: folder, timeout: 240_000 })
  }, 300_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(cases.flatMap(([name]) => [[name, 'F32'] as const, [name, 'Q8_0'] as const]))(
    'writes the same file from %s as %s, to the last byte',
    async (name, type) => {
      const blueprint = await makeBlueprint(join(folder, name))
      const theirs = join(folder, `${name}.${type.toLowerCase()}.gguf`)
      const ours = join(folder, `${name}.${type}.ours.gguf`)
      await finish(quantize({ blueprint, plan: planUniform(blueprint, type), output: ours, threads: 1 }))

      // The header first, for a difference there is easier to read.
      const [expected, found] = await Promise.all([openGguf(theirs), openGguf(ours)])
      await Promise.all([expected.close(), found.close()])
      // Whether to add bos and eos is always written, also where the converter leaves it to llama.cpp's default: decision 15.
      const added = [...found.metadata.keys()].filter((key) => /\.add_[be]os_token$/.test(key) && !expected.metadata.has(key))
      expect([...found.metadata].filter(([key]) => !added.includes(key))).toEqual([...expected.metadata])
      const blocks = (tensors: typeof found.tensors): unknown[] =>
        tensors.map(({ name, type, dimensions, start, end }) => [name, type, dimensions, end - start])
      expect(blocks(found.tensors)).toEqual(blocks(expected.tensors))
      const dataOf = async (path: string, [first]: typeof found.tensors): Promise<Buffer> =>
        (await readFile(path)).subarray(first?.start ?? 0)
      expect(Buffer.compare(await dataOf(ours, found.tensors), await dataOf(theirs, expected.tensors))).toBe(0)
      if (added.length === 0) expect(Buffer.compare(await readFile(ours), await readFile(theirs))).toBe(0)
    },
  )
})
