import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorTable, exitStatus } from '../../src/errors/index.js'
import { runMq } from '../support/run-mq.js'
import { runMqHere } from '../support/run-mq-here.js'
import { safetensorsBytes } from '../support/safetensors-bytes.js'
import { type Json, type TinyCheckpoint, writeTinyCheckpoint } from '../support/tiny-checkpoint.js'

/** Something wrong, made in `folder`; `arguments` are what is then asked of `mq`. */
interface Case {
  readonly what: string
  readonly code: keyof typeof errorTable
  /** What the message must name. */
  readonly names?: RegExp
  readonly make: (folder: string) => Promise<readonly string[]>
}

const output = 'out.gguf'

/** Converts a tiny checkpoint that was damaged before it was written, or after. */
function checkpoint(
  what: string,
  code: Case['code'],
  names: RegExp,
  before: (checkpoint: TinyCheckpoint) => void = () => {},
  after: (folder: string) => Promise<void> = async () => {},
): Case {
  return {
    what,
    code,
    names,
    make: async (folder) => {
      await writeTinyCheckpoint(folder, before)
      await after(folder)
      return ['convert', folder, '--type', 'f16', '-o', join(folder, output)]
    },
  }
}

const config = (change: Json) => (checkpoint: TinyCheckpoint) => void Object.assign(checkpoint.config, change)

/** Replaces the weights by a file of one's own. */
const weights = (bytes: Uint8Array) => (folder: string) => writeFile(join(folder, 'model.safetensors'), bytes)

/** Splits the weights in name only: one shard and an index. */
const sharded = (index: (weightMap: Record<string, string>) => unknown) => async (folder: string) => {
  await rename(join(folder, 'model.safetensors'), join(folder, 'model-00001-of-00001.safetensors'))
  const bytes = await readFile(join(folder, 'model-00001-of-00001.safetensors'))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))) as Json
  const weightMap = Object.fromEntries(Object.keys(header).map((name) => [name, 'model-00001-of-00001.safetensors']))
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index(weightMap)))
}

const value = (dtype: string, shape: number[], start: number, end: number): Json => ({ dtype, shape, data_offsets: [start, end] })

/** Converts one valid tiny checkpoint to GGUF, damages the file, and quantizes from it. */
function gguf(what: string, code: Case['code'], names: RegExp, damage: (bytes: Buffer) => Uint8Array): Case {
  return {
    what,
    code,
    names,
    make: async (folder) => {
      await mkdir(folder)
      await writeFile(join(folder, 'in.gguf'), damage(Buffer.from(await readFile(validGguf))))
      return ['quantize', join(folder, 'in.gguf'), '--bits', '8.5', '-o', join(folder, output)]
    },
  }
}

/** Asks something impossible of a valid checkpoint. */
function ask(what: string, code: Case['code'], names: RegExp, args: (folder: string) => readonly string[]): Case {
  return {
    what,
    code,
    names,
    make: async (folder) => {
      await writeTinyCheckpoint(folder)
      return args(folder)
    },
  }
}

/** A proof of a checkpoint folder, which is no GGUF. */
const verifyOf = (folder: string, ...flags: string[]): string[] => [
  'verify',
  folder,
  '--against',
  folder,
  '--text',
  join(folder, 'config.json'),
  ...flags,
]

const notFinite = (checkpoint: TinyCheckpoint): void => {
  const tensor = checkpoint.tensors.get('model.layers.0.mlp.up_proj.weight')
  if (tensor?.data instanceof Uint8Array) tensor.data.set([0xc0, 0x7f], 2 * 32 * 5)
}

const cases: readonly Case[] = [
  // safetensors
  checkpoint('a header longer than the file', 'INPUT_TRUNCATED', /model\.safetensors/, undefined, (folder) =>
    weights(Buffer.from([0, 16, 0, 0, 0, 0, 0, 0, 123]))(folder),
  ),
  checkpoint(
    'a header of 2^60 bytes',
    'SAFETENSORS_INVALID',
    /header/,
    undefined,
    weights(Buffer.from([0, 0, 0, 0, 0, 0, 0, 16])),
  ),
  checkpoint('an empty weights file', 'INPUT_TRUNCATED', /model\.safetensors/, undefined, weights(Buffer.alloc(0))),
  checkpoint('a header that is no JSON', 'SAFETENSORS_INVALID', /JSON/, undefined, weights(safetensorsBytes('{"a":'))),
  checkpoint('a header that is a list', 'SAFETENSORS_INVALID', /model/, undefined, weights(safetensorsBytes('[]'))),
  checkpoint(
    'the same tensor twice',
    'SAFETENSORS_INVALID',
    /twice/,
    undefined,
    weights(
      safetensorsBytes(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        8,
      ),
    ),
  ),
  checkpoint(
    'overlapping tensors',
    'SAFETENSORS_INVALID',
    /"b"/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [2], 0, 8), b: value('F32', [2], 4, 12) }, 12)),
  ),
  checkpoint(
    'a gap between tensors',
    'SAFETENSORS_INVALID',
    /"b"/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [1], 0, 4), b: value('F32', [1], 8, 12) }, 12)),
  ),
  checkpoint(
    'a tensor past the end',
    'INPUT_TRUNCATED',
    /.*/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [4], 0, 16) }, 8)),
  ),
  checkpoint(
    'bytes after the last tensor',
    'SAFETENSORS_INVALID',
    /.*/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [1], 0, 4) }, 8)),
  ),
  checkpoint(
    'a dtype that does not exist',
    'SAFETENSORS_INVALID',
    /F31/,
    undefined,
    weights(safetensorsBytes({ a: value('F31', [1], 0, 4) }, 4)),
  ),
  checkpoint(
    'a shape that does not fit its bytes',
    'SAFETENSORS_INVALID',
    /"a"/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [3], 0, 8) }, 8)),
  ),
  checkpoint(
    'a shape whose product overflows',
    'SAFETENSORS_INVALID',
    /"a"/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [2 ** 40, 2 ** 40], 0, 8) }, 8)),
  ),
  checkpoint(
    'a negative dimension',
    'SAFETENSORS_INVALID',
    /"a"/,
    undefined,
    weights(safetensorsBytes({ a: value('F32', [-1], 0, 4) }, 4)),
  ),
  checkpoint('a truncated weights file', 'INPUT_TRUNCATED', /model\.safetensors/, undefined, (folder) =>
    truncate(join(folder, 'model.safetensors'), 100_000),
  ),

  checkpoint('weights that are a folder', 'FILE_UNREADABLE', /model\.safetensors/, undefined, async (folder) => {
    await rm(join(folder, 'model.safetensors'))
    await mkdir(join(folder, 'model.safetensors'))
  }),

  // the index of shards
  checkpoint(
    'an index without a weight map',
    'SAFETENSORS_INDEX_INVALID',
    /index\.json/,
    undefined,
    sharded(() => ({})),
  ),
  checkpoint(
    'a missing shard',
    'SAFETENSORS_INDEX_INVALID',
    /model-00002-of-00002/,
    undefined,
    sharded((map) => ({ weight_map: { ...map, extra: 'model-00002-of-00002.safetensors' } })),
  ),
  checkpoint(
    'a tensor that its shard does not hold',
    'SAFETENSORS_INDEX_INVALID',
    /extra/,
    undefined,
    sharded((map) => ({ weight_map: { ...map, extra: 'model-00001-of-00001.safetensors' } })),
  ),
  checkpoint(
    'a tensor that the index does not name',
    'SAFETENSORS_INDEX_INVALID',
    /lm_head/,
    undefined,
    sharded(({ 'lm_head.weight': _, ...map }) => ({ weight_map: map })),
  ),
  checkpoint(
    'a shard outside the folder',
    'SAFETENSORS_INDEX_INVALID',
    /\.\./,
    undefined,
    sharded((map) => ({ weight_map: { ...map, 'lm_head.weight': '../model-00001-of-00001.safetensors' } })),
  ),
  checkpoint(
    'an index that names itself',
    'SAFETENSORS_INDEX_INVALID',
    /index\.json/,
    undefined,
    sharded((map) => ({ weight_map: { ...map, 'lm_head.weight': 'model.safetensors.index.json' } })),
  ),

  // config.json, tokenizer.json, tensors
  checkpoint('an unknown architecture', 'ARCHITECTURE_UNKNOWN', /ReformerModel/, config({ architectures: ['ReformerModel'] })),
  checkpoint('no architecture at all', 'ARCHITECTURE_UNKNOWN', /none/, config({ architectures: undefined })),
  checkpoint('a hidden size in words', 'CONFIG_INVALID', /hidden_size/, config({ hidden_size: 'many' })),
  checkpoint('a billion layers', 'CONFIG_INVALID', /num_hidden_layers/, config({ num_hidden_layers: 1e9 })),
  checkpoint('an odd head size', 'CONFIG_INVALID', /head_dim/, config({ head_dim: 15 })),
  checkpoint('a config.json that is no JSON', 'CONFIG_INVALID', /config\.json/, undefined, (folder) =>
    writeFile(join(folder, 'config.json'), '{"architectures":'),
  ),
  checkpoint('a storage that is not known', 'STORAGE_UNSUPPORTED', /aqlm/, (checkpoint) => {
    checkpoint.config['quantization_config'] = { quant_method: 'aqlm' }
    checkpoint.tensors.set('w.codes', { name: 'w.codes', dtype: 'I16', shape: [1, 1], data: new Uint8Array(2) })
  }),
  checkpoint(
    'a missing tensor',
    'TENSOR_MISSING',
    /q_proj/,
    ({ tensors }) => void tensors.delete('model.layers.0.self_attn.q_proj.weight'),
  ),
  checkpoint('a tensor too many', 'TENSOR_UNEXPECTED', /surprise/, ({ tensors }) => {
    tensors.set('model.surprise.weight', { name: 'model.surprise.weight', dtype: 'F32', shape: [1], data: new Uint8Array(4) })
  }),
  checkpoint('a tensor of another shape', 'TENSOR_SHAPE', /mlp.*96/, config({ intermediate_size: 96 })),
  checkpoint('NaN weights', 'TENSOR_NOT_FINITE', /blk\.0\.ffn_up\.weight.*row 5/, notFinite),
  checkpoint('an unknown pre-tokenizer', 'PRE_TOKENIZER_UNKNOWN', /--pre/, ({ tokenizer }) => {
    tokenizer['pre_tokenizer'] = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: 'q+' }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    }
  }),
  checkpoint('a tokenizer of an unknown kind', 'TOKENIZER_UNSUPPORTED', /WordLevel/, ({ tokenizer }) => {
    tokenizer['model'] = { type: 'WordLevel', vocab: {} }
  }),
  checkpoint('a tokenizer with a token id of a billion', 'TOKENIZER_INVALID', /tokenizer\.json/, ({ tokenizer }) => {
    ;((tokenizer['model'] as Json)['vocab'] as Json)['zzz'] = 1e9
  }),
  checkpoint('no tokenizer', 'TOKENIZER_UNSUPPORTED', /tokenizer\.json/, undefined, (folder) =>
    rm(join(folder, 'tokenizer.json')),
  ),
  checkpoint('an empty folder', 'CHECKPOINT_EMPTY', /config\.json/, undefined, async (folder) => {
    for (const name of await readdir(folder)) await rm(join(folder, name))
  }),

  // GGUF
  gguf('a GGUF that is something else', 'GGUF_INVALID', /in\.gguf/, () => Buffer.from('PK\u0003\u0004 not a model')),
  gguf('a GGUF of no bytes', 'INPUT_TRUNCATED', /in\.gguf/, () => Buffer.alloc(0)),
  gguf('a GGUF cut in its data', 'INPUT_TRUNCATED', /in\.gguf/, (bytes) => bytes.subarray(0, bytes.length - 1000)),
  gguf('a GGUF cut in its header', 'INPUT_TRUNCATED', /in\.gguf/, (bytes) => bytes.subarray(0, 1000)),
  gguf('a GGUF of version 9', 'GGUF_UNSUPPORTED', /9/, (bytes) => (bytes.writeUInt32LE(9, 4), bytes)),
  gguf('a GGUF of 2^60 tensors', 'GGUF_INVALID', /tensors/, (bytes) => (bytes.writeBigUInt64LE(2n ** 60n, 8), bytes)),
  gguf('a GGUF of 2^60 keys', 'GGUF_INVALID', /keys/, (bytes) => (bytes.writeBigUInt64LE(2n ** 60n, 16), bytes)),
  gguf('a GGUF with a tensor type that does not exist', 'GGML_TYPE_UNKNOWN', /99/, (bytes) => {
    const name = bytes.indexOf('output.weight')
    bytes.writeUInt32LE(99, name + 'output.weight'.length + 4 + 2 * 8)
    return bytes
  }),
  gguf('a GGUF with a tensor at an odd place', 'GGUF_INVALID', /output\.weight/, (bytes) => {
    const name = bytes.indexOf('output.weight')
    bytes.writeBigUInt64LE(7n, name + 'output.weight'.length + 4 + 2 * 8 + 4)
    return bytes
  }),

  // what is asked
  ask('a path that does not exist', 'FILE_MISSING', /nowhere/, (folder) => [
    'convert',
    join(folder, 'nowhere'),
    '--type',
    'f16',
    '-o',
    join(folder, output),
  ]),
  ask('a folder to write to that does not exist', 'FILE_UNWRITABLE', /nowhere/, (folder) => [
    'convert',
    folder,
    '--type',
    'f16',
    '-o',
    join(folder, 'nowhere', output),
  ]),
  ask('a type that does not exist', 'USAGE', /q9_9/, (folder) => [
    'convert',
    folder,
    '--type',
    'q9_9',
    '-o',
    join(folder, output),
  ]),
  ask('no budget', 'USAGE', /bits/, (folder) => ['quantize', folder, '-o', join(folder, output)]),
  ask('no threads at all', 'FLAG_INVALID', /--threads 0: it is not an integer greater than or equal to 1\./, (folder) => [
    'quantize',
    folder,
    '--bits',
    '3',
    '--threads',
    '0',
    '-o',
    join(folder, output),
  ]),
  ask('a budget in words', 'FLAG_INVALID', /few/, (folder) => ['quantize', folder, '--bits', 'few', '-o', join(folder, output)]),
  ask('a budget that no type reaches', 'BUDGET_IMPOSSIBLE', /0\.5/, (folder) => [
    'quantize',
    folder,
    '--bits',
    '0.5',
    '-o',
    join(folder, output),
  ]),
  ask('a gate on a figure that does not exist', 'FLAG_INVALID', /loss.*kld\.q99/, (folder) =>
    verifyOf(folder, '--gate', 'loss<=1'),
  ),
  ask('a gate without a limit', 'FLAG_INVALID', /kld/, (folder) => verifyOf(folder, '--gate', 'kld')),
  ask('a limit in words', 'FLAG_INVALID', /low/, (folder) => verifyOf(folder, '--max-kld', 'low')),
  ask('a confidence of all', 'FLAG_INVALID', /100%/, (folder) => verifyOf(folder, '--confidence', '100%')),
  ask('a gate that has no standard error, with a confidence', 'FLAG_INVALID', /kld\.max/, (folder) =>
    verifyOf(folder, '--gate', 'kld.max<=1', '--confidence', '95%'),
  ),
  ask('a gate on a difference from nothing', 'FLAG_INVALID', /\(versus\)/, (folder) =>
    verifyOf(folder, '--gate', 'versus.kld<=0'),
  ),
  ask('a folder to be proved', 'FILE_UNREADABLE', /folder/, (folder) => verifyOf(folder)),
  ask('a page in a folder that does not exist', 'FILE_UNWRITABLE', /nowhere/, (folder) =>
    verifyOf(folder, '--report', join(folder, 'nowhere', 'page.html')),
  ),
  ask('a comparison of no models', 'CHECKPOINT_EMPTY', /gguf/, (folder) => ['compare', ...verifyOf(folder).slice(1)]),
  ask('a mixture that does not exist', 'MIXTURE_UNKNOWN', /unsloth-q9/, (folder) => [
    'quantize',
    folder,
    '--mixture',
    'unsloth-q9',
    '-o',
    join(folder, output),
  ]),
  {
    what: 'a mixture with a type that does not exist',
    code: 'MIXTURE_INVALID',
    names: /mine\.json.*rule 1: type: .*Q9_K/,
    make: async (folder) => {
      await writeTinyCheckpoint(folder)
      const rules = [{ roles: ['output'], type: 'Q9_K' }]
      await writeFile(
        join(folder, 'mine.json'),
        JSON.stringify({ version: 1, description: '', source: '', default: 'Q4_K', rules }),
      )
      return ['plan', folder, '--mixture', join(folder, 'mine.json')]
    },
  },
  ask('a preset that does not exist', 'PRESET_UNKNOWN', /Q4_K_XXL/, (folder) => [
    'quantize',
    folder,
    '--preset',
    'Q4_K_XXL',
    '-o',
    join(folder, output),
  ]),
  ask('a regular expression that is none', 'FLAG_INVALID', /\(/, (folder) => [
    'quantize',
    folder,
    '--bits',
    '8.5',
    '--tensor-type',
    '(=Q8_0',
    '-o',
    join(folder, output),
  ]),
  ask('a flag that does not exist', 'USAGE', /--bitts/, (folder) => [
    'quantize',
    folder,
    '--bitts',
    '4',
    '-o',
    join(folder, output),
  ]),
  ask('a name that leads out of the registry', 'NAME_INVALID', /\.\./, (folder) => [
    'publish',
    folder,
    '../../escape:1',
    '--registry',
    join(folder, 'registry'),
  ]),
  ask('a registry that does not answer', 'NETWORK', /127\.0\.0\.1/, () => [
    'run',
    'a/b:c',
    '--endpoint',
    'http://127.0.0.1:10',
    'hello',
  ]),
  {
    what: 'a plan that is none',
    code: 'PLAN_INVALID',
    names: /plan\.json/,
    make: async (folder) => {
      await writeTinyCheckpoint(folder)
      await writeFile(join(folder, 'plan.json'), '{"version":1,"tensors":[{}]}')
      return ['quantize', folder, '--plan', join(folder, 'plan.json'), '-o', join(folder, output)]
    },
  },
  {
    what: 'an output that is there already',
    code: 'OUTPUT_EXISTS',
    names: /taken\.gguf/,
    make: async (folder) => {
      await writeTinyCheckpoint(folder)
      await writeFile(join(folder, 'taken.gguf'), 'mine')
      return ['convert', folder, '--type', 'f16', '-o', join(folder, 'taken.gguf')]
    },
  },
  {
    what: 'a model that llama.cpp does not load',
    code: 'MODEL_REJECTED',
    names: /in\.gguf/,
    make: async (folder) => {
      await mkdir(folder)
      const bytes = await readFile(validGguf)
      bytes.write('nollama', bytes.indexOf('llama', bytes.indexOf('general.architecture')))
      await writeFile(join(folder, 'in.gguf'), bytes)
      return ['run', join(folder, 'in.gguf'), 'hello']
    },
  },
]

let root: string
let validGguf: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mq-bad-'))
  validGguf = join(root, 'valid.gguf')
  await writeTinyCheckpoint(join(root, 'valid'))
  const { exitCode, stderr } = await runMqHere(['convert', join(root, 'valid'), '--type', 'f16', '-o', validGguf])
  if (exitCode !== 0) throw new Error(stderr)
})
afterAll(() => rm(root, { recursive: true, force: true }))

describe('bad input ends in one coded line, and leaves nothing under a final name', () => {
  test.for(cases.map((entry, index) => ({ ...entry, index })))('$what', async ({ index, code, names, make }) => {
    const folder = join(root, String(index))
    const args = await make(folder)
    const { exitCode, stderr } = await runMqHere(args)
    expect(stderr).toMatch(new RegExp(`^mq: ${code}: .*\\n?$`))
    if (names !== undefined) expect(stderr).toMatch(names)
    expect(exitCode).toBe(exitStatus[errorTable[code].exit])
    const left = (await readdir(folder).catch(() => [])).filter((name) => name === output || name.endsWith('.partial'))
    expect(left).toEqual([])
  })

  test.each(['a missing tensor', 'a flag that does not exist'])('%s ends a process of its own in the same way', async (what) => {
    const { code, make } = cases.find((entry) => entry.what === what) ?? expect.fail(`there is no case of ${what}`)
    const { exitCode, stdout, stderr } = await runMq(await make(join(root, 'process', what)))
    expect({ exitCode, stdout }).toEqual({ exitCode: exitStatus[errorTable[code].exit], stdout: '' })
    expect(stderr).toMatch(new RegExp(`^mq: ${code}: .*$`))
  })

  test.skipIf(process.getuid?.() === 0)('an unreadable file', async () => {
    const folder = join(root, 'unreadable')
    await writeTinyCheckpoint(folder)
    await chmod(join(folder, 'model.safetensors'), 0)
    const { exitCode, stderr } = await runMqHere(['convert', folder, '--type', 'f16', '-o', join(folder, output)])
    expect(stderr).toMatch(/^mq: FILE_UNREADABLE: .*model\.safetensors/)
    expect(exitCode).toBe(exitStatus.environment)
  })

  test('an existing file is left as it was', async () => {
    const taken = join(root, String(cases.findIndex(({ code }) => code === 'OUTPUT_EXISTS')), 'taken.gguf')
    expect(await readFile(taken, 'utf8')).toBe('mine')
  })
})
