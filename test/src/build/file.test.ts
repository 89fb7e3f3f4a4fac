import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseBuildGate } from '../../../src/build/gates/parse-gate.js'
import { buildSchema, readBuild } from '../../../src/build/index.js'
import { builtInText } from '../../../src/calibration/index.js'
import { MqError } from '../../../src/errors/index.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-build-file-'))
  for (const name of ['model.gguf', 'base.gguf', 'text.txt', 'plan.json']) await writeFile(join(folder, name), 'x')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const file = (): string => join(folder, 'build.yaml')

async function read(text: string): ReturnType<typeof readBuild> {
  await writeFile(file(), text)
  return readBuild(file())
}

/** Problems as `LINE:COLUMN: what`. */
async function problemsOf(text: string): Promise<string[]> {
  const error = await read(text).then(
    () => expect.fail('it was taken'),
    (thrown: unknown) => thrown as MqError,
  )
  expect(error).toBeInstanceOf(MqError)
  expect([error.code, error.exit]).toEqual(['BUILD_INVALID', 3])
  const { problems } = error.details
  return String(problems)
    .split(`${file()}:`)
    .slice(1)
    .map((line) => line.replace(/; $/, ''))
}

const valid = `
models:
  one:
    source: model.gguf
    calibration: text.txt
    test: { text: text.txt, chunks: 4 }
    outputs:
      small: { bits: 2.51 }
      large: { preset: q4_k_m, effort: best, shards: 5GB }
    gates:
      - kld<=0.05
      - { gate: kld <= 50% * small, outputs: large }
    publish:
      - { name: 'me/{model}' }
`

test('the calibration text of the package has a name, alone and beside others; a file of that name needs a folder', async () => {
  await writeFile(join(folder, 'package'), 'x')
  const calibrated = async (text: string): Promise<readonly string[] | undefined> => {
    const { models } = await read(valid.replace('calibration: text.txt', `calibration: ${text}`))
    return models[0]?.calibration?.text
  }
  expect(await calibrated('package')).toEqual([builtInText])
  expect(await calibrated('{ text: [text.txt, package], chunks: 3 }')).toEqual([join(folder, 'text.txt'), builtInText])
  expect(await calibrated('./package')).toEqual([join(folder, 'package')])
})

test('a file is read with its defaults, short forms and paths', async () => {
  const { models, title, path } = await read(valid)
  expect([title, path]).toEqual(['build', file()])
  expect(models).toHaveLength(1)
  expect(models[0]).toMatchObject({
    key: 'one',
    source: join(folder, 'model.gguf'),
    lora: [],
    calibration: { text: [join(folder, 'text.txt')] },
    test: { text: join(folder, 'text.txt'), chunks: 4 },
    outputs: { small: { bits: 2.51 }, large: { preset: 'q4_k_m', effort: 'best', shards: '5GB' } },
    gates: [{ gate: 'kld<=0.05' }, { gate: 'kld <= 50% * small', outputs: ['large'] }],
    publish: [{ name: 'me/{model}' }],
  })
})

test('the top level holds for every model that does not say otherwise', async () => {
  const { models, threads, memoryBytes } = await read(`
threads: 2
memory: 1GB
outputs: { q8: { type: Q8_0 } }
card: { license: mit }
models:
  one: { source: model.gguf }
  two: { source: hf:me/model, outputs: { 4: { bits: 4 } }, card: { base-model: me/base } }
`)
  expect([threads, memoryBytes]).toEqual([2, 1e9])
  expect(models.map(({ outputs, card, source }) => [source, outputs, card])).toEqual([
    [join(folder, 'model.gguf'), { q8: { type: 'Q8_0' } }, { license: 'mit' }],
    ['hf:me/model', { 4: { bits: 4 } }, { 'base-model': 'me/base' }],
  ])
})

test('anchors and aliases are followed', async () => {
  const { models } = await read(`
models:
  one: &model { source: model.gguf, outputs: { q8: { type: Q8_0 } } }
  two: *model
`)
  expect(models.map(({ key, source }) => [key, source])).toEqual([
    ['one', join(folder, 'model.gguf')],
    ['two', join(folder, 'model.gguf')],
  ])
})

describe('every problem is told with its line and column', () => {
  const model = (rest: string): string => `models:\n  one:\n    source: model.gguf\n${rest}`
  const outputs = (rest: string): string => model(`    outputs:\n      a: ${rest}\n`)
  test.each([
    ['no YAML', 'models: [', /^1:10: it is not YAML: /],
    ['an empty file', '', /^1:1: /],
    ['two documents', `${valid}---\nmodels: {}\n`, /^\d+:1: the file has a second document/],
    ['a key twice', 'models: {}\nmodels: {}\n', /^2:1: it is not YAML: a key appears twice/],
    ['an unknown key', `${valid}modelz: {}\n`, /^15:1: the file has no key "modelz"; the closest is models$/],
    [
      'an unknown key of an output',
      outputs('{ bitz: 3 }'),
      /^5:12: models\.one\.outputs\.a has no key "bitz"; the closest is bits$/,
    ],
    ['no models', 'title: x\n', /^1:1: the file has no models$/],
    ['models of no form', 'models: [a]\n', /^1:9: models is a list; names and values are needed$/],
    ['no source', 'models: { one: { outputs: { a: { bits: 3 } } } }', /^1:16: models\.one has no source$/],
    ['a name that is none', 'models: { "a b": { source: model.gguf } }', /^1:11: "a b" cannot be a name in models: /],
    [
      'text for a number',
      outputs('{ bits: many }'),
      /^5:18: models\.one\.outputs\.a\.bits is "many": it is a number above 0, at most 32$/,
    ],
    ['a number out of bounds', outputs('{ bits: 0 }'), /^5:18: .*is "0": it is a number above 0, at most 32$/],
    ['a size that is none', outputs('{ size: 3 parsec }'), /^5:18: .*it is not a size/],
    ['a choice that is none', outputs('{ bits: 3, effort: much }'), /^5:29: .*is "much"; it is one of fast, default, best$/],
    ['a flag that is none', outputs('{ bits: 3, smooth: 1 }'), /^5:29: .*is "1"; it is true or false$/],
    ['a damping between its bounds', outputs('{ bits: 3, damping: 0.00001 }'), /^5:30: .*neither 0 nor from 0\.0001/],
    ['no goal', outputs('{ effort: best }'), /^5:10: .*has none of bits, size, /],
    ['two goals', outputs('{ bits: 3, preset: Q4_K_M }'), /^5:21: preset stands beside bits; exactly one of /],
    ['a key without its other', outputs('{ bits: 3, context: 100 }'), /^5:21: context applies only with fit$/],
    ['an unknown preset', outputs('{ preset: Q9 }'), /^5:20: there is no preset Q9; known are .*Q4_K_M/],
    ['an unknown type', outputs('{ type: Q9 }'), /^5:18: .*there is no type Q9$/],
    ['an unknown mixture', outputs('{ mixture: unsloth }'), /^5:21: there is no mixture unsloth; known are .*unsloth-q2_k_xl/],
    ['a plan that is missing', outputs('{ plan: no.json }'), /^5:18: .*no\.json does not exist$/],
    ['a calibration that is none', outputs('{ bits: 3, calibration: full }'), /^5:34: the model has no calibration$/],
    ['a floor of no form', outputs('{ bits: 3, floors: attention }'), /^5:29: "attention" is not ROLE=TYPE/],
    [
      'a missing source',
      'models: { one: { source: no.gguf, outputs: { a: { bits: 3 } } } }',
      /^1:26: .*no\.gguf does not exist$/,
    ],
    [
      'a missing text',
      `${model('    calibration: no.txt\n')}    outputs: { a: { bits: 3 } }\n`,
      /^4:18: .*no\.txt does not exist$/,
    ],
    ['no outputs', model(''), /^3:5: models\.one has no outputs$/],
    [
      'outputs alike',
      model('    outputs: { q: { bits: 3 }, Q: { bits: 4 } }\n'),
      /^4:35: Q and q differ by the case of letters alone$/,
    ],
    ['adapters for a GGUF', `${outputs('{ bits: 3 }')}    lora: text.txt\n`, /^6:11: adapters are merged into a checkpoint/],
    ['a figure that is none', `${outputs('{ bits: 3 }')}    gates: [speed<=3]\n`, /^6:13: .*there is no figure speed/],
    ['a gate without a test', `${outputs('{ bits: 3 }')}    gates: [kld<=3]\n`, /^6:13: a gate on kld\.mean needs a test/],
    [
      'a gate on no output',
      `${outputs('{ bits: 3 }')}    gates: [{ gate: size<=3GB, outputs: b }]\n`,
      /^6:41: there is no output b; there are a$/,
    ],
    ['a gate against no output', `${outputs('{ bits: 3 }')}    gates: [size<=b]\n`, /^6:13: there is no output b; there are a$/],
    [
      'a gate against itself',
      `${outputs('{ bits: 3 }')}    gates: [{ gate: size<=a, outputs: a }]\n`,
      /^6:21: a would be compared with itself$/,
    ],
    [
      'a confidence of a size',
      `${outputs('{ bits: 3 }')}    gates: [{ gate: size<=3GB, confidence: 95% }]\n`,
      /^6:21: it has no standard error/,
    ],
    [
      'a confidence that is none',
      `${outputs('{ bits: 3 }')}    gates: [{ gate: size<=3GB, confidence: 5% }]\n`,
      /^6:44: .*it is not at least 50%/,
    ],
    ['a publication of no name', `${outputs('{ bits: 3 }')}    publish: [{ name: nobody }]\n`, /^6:23: it needs one "\/"/],
    [
      'a publication to nowhere',
      `${outputs('{ bits: 3 }')}    publish: [{ name: me/x, to: nowhere }]\n`,
      /^6:33: it is none of ollama/,
    ],
    [
      'a placeholder of nothing',
      `${outputs('{ bits: 3 }')}    publish: [{ name: 'me/{modell}' }]\n`,
      /^6:23: \{modell\} is an unknown placeholder/,
    ],
    [
      'a publication twice',
      `${outputs('{ bits: 3 }')}    publish: [{ name: me/x }, { name: me/x }]\n`,
      /^6:39: me\/x:a is published to registry twice/,
    ],
    [
      'a calibration of no model',
      `${outputs('{ bits: 3 }')}    calibration: { same-as: two }\n`,
      /^6:29: there is no model two; there are one$/,
    ],
  ])('%s', async (_, text, problem) => {
    const problems = await problemsOf(text)
    expect(problems[0]).toMatch(problem)
  })

  test('calibrations in a circle', async () => {
    const one = (key: string, other: string): string =>
      `  ${key}:\n    source: model.gguf\n    outputs: { a: { bits: 3 } }\n    calibration: { same-as: ${other} }\n`
    expect(await problemsOf(`models:\n${one('x', 'y')}${one('y', 'x')}`)).toEqual(
      [
        '5:29: calibrations refer to each other in a circle: x -> y -> x',
        '9:29: calibrations refer to each other in a circle: y -> x -> y',
      ].map((line) => expect.stringContaining(line)),
    )
  })

  test('several at once, in their order', async () => {
    const problems = await problemsOf('models:\n  one:\n    sauce: x\n    source: [a]\n    outputs: { a: { bits: x } }\n')
    expect(problems.map((problem) => problem.split(': ')[0])).toEqual(['3:5', '4:13', '5:27'])
  })

  test('an alias that contains itself ends', async () => {
    expect((await problemsOf('models: &m\n  one: *m\n'))[0]).toMatch(/^1:\d+: |^2:\d+: /)
  })
})

test('a gate is on a number or on another output', () => {
  expect(parseBuildGate('kld<=0.05')).toEqual({ kind: 'number', gate: { figure: 'kld.mean', bound: 'most', limit: 0.05 } })
  expect(parseBuildGate('same-top >= 2.51bpw')).toEqual({
    kind: 'output',
    figure: 'same-top',
    bound: 'least',
    other: '2.51bpw',
    factor: 1,
  })
  expect(parseBuildGate('size<=0.5*Q4_K_M')).toMatchObject({ kind: 'output', figure: 'size', other: 'Q4_K_M', factor: 0.5 })
  expect(() => parseBuildGate('kld<=1.2.3')).toThrow(/is not a number/)
  expect(() => parseBuildGate('versus.kld<=0')).toThrow(/another output is named/)
})

test('docs/build.schema.json is what validation reads (npx vitest -u writes it)', async () => {
  await expect(`${JSON.stringify(buildSchema(), undefined, 2)}\n`).toMatchFileSnapshot('../../../docs/build.schema.json')
})
