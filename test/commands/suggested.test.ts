import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { advice } from '../../commands/shared/advice.js'
import { errorTable } from '../../src/errors/index.js'
import { writeOneLayerSample } from '../support/one-layer-sample.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama } from '../support/sample-models.js'
import { writeTinyGguf } from '../support/tiny-model.js'

const text = fileURLToPath(new URL('../../samples/text/kjv-heldout.txt', import.meta.url))
const measured = ['--text', text, '--chunks', '2', '--ctx', '64']

let folder: string
let sample: string
let gguf: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-suggested-'))
  sample = at('sample')
  await writeOneLayerSample(sample)
  gguf = await writeTinyGguf(folder, 'tiny.gguf')
  await runMqHere(['convert', sample, '-o', join(folder, 'model.gguf')])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const at = (name: string): string => join(folder, name)

/** What a user who follows an error's advice adds to the command that it names; in this order, since some need what others make. */
const added: Record<string, { readonly more: () => readonly string[]; readonly needsLlama?: true }> = {
  'mq plan --list': { more: () => [] },
  'mq convert': { more: () => [sample, '-o', at('converted.gguf')] },
  'mq convert --pre': { more: () => ['llama-bpe', sample, '-o', at('pre.gguf')] },
  'mq plan': { more: () => [sample, '--bits', '4', '--no-measure', '-o', at('plan.json')] },
  'mq inspect': { more: () => [gguf] },
  'mq imatrix': { more: () => [sample, ...measured, '--rank', '0', '-o', at('imatrix.gguf')], needsLlama: true },
  'mq imatrix --rank': { more: () => ['0', sample, ...measured, '-o', at('rank.gguf')], needsLlama: true },
  'mq verify': { more: () => [at('model.gguf'), '--against', sample, ...measured], needsLlama: true },
  'mq verify --save-logits': {
    more: () => [at('base.logits'), at('model.gguf'), '--against', sample, ...measured],
    needsLlama: true,
  },
  'mq publish --force': { more: () => ['--no-check', gguf, 'kjv/tiny:one'] },
  'mq registry ls': { more: () => [] },
  'mq registry fsck': { more: () => [] },
  'mq registry fsck --repair': { more: () => [] },
  'mq registry fsck --repair --from FOLDER': { more: () => [] },
  'mq registry token ls': { more: () => [] },
  'mq registry rm': { more: () => ['kjv/tiny:one'] },
  'mq cache ls': { more: () => [] },
  'mq cache check --repair': { more: () => [] },
}

const texts = Object.values(errorTable).map(({ message, suggestion }) => `${message} ${suggestion}`)
const suggested = new Set([...texts, ...Object.values(advice).flat()].flatMap((line) => line.match(/(?<=`)mq [^`]*(?=`)/g) ?? []))

test('every command that an error suggests is run here', () => {
  // The server's run is in registry.test.ts, and `--help` is that of whichever command was called.
  const elsewhere = ['mq registry serve', 'mq {command} --help']
  expect([...suggested].filter((line) => !elsewhere.includes(line)).toSorted()).toEqual(Object.keys(added).toSorted())
})

for (const [line, { more, needsLlama }] of Object.entries(added)) {
  test.skipIf(needsLlama === true && !llama.available)(
    `${line} does what an error says it would${needsLlama === true ? ` (${llama.name})` : ''}`,
    async () => {
      const words = line.split(' ').slice(1)
      const args = [...words.map((word) => (word === 'FOLDER' ? folder : word)), ...more()]
      const env = { MQ_REGISTRY: at('registry'), MQ_CACHE: at('cache') }
      expect(await runMqHere(args, { cwd: folder, env })).toMatchObject({ exitCode: 0, stderr: '' })
    },
    120_000,
  )
}
