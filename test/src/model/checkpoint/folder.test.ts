import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MqError } from '../../../../src/errors/index.js'
import type { Blueprint } from '../../../../src/model/blueprint.js'
import { openCheckpoint } from '../../../../src/model/checkpoint/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { outputName } from '../../../../src/model/output-name.js'
import { writeTinyCheckpoint } from '../../../support/tiny-checkpoint.js'

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'mq-folder-')), 'My-Model')
})
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }))

const file = (name: string): string => join(folder, name)
const edit = async (name: string, change: (text: string) => string): Promise<void> =>
  writeFile(file(name), change(await readFile(file(name), 'utf8')))

describe('files as other tools leave them', () => {
  beforeEach(() => writeTinyCheckpoint(folder))

  it.each(['config.json', 'tokenizer.json', 'tokenizer_config.json'])(
    'a byte order mark before %s is passed over',
    async (name) => {
      const before = await makeBlueprint(folder)
      await edit(name, (text) => `\ufeff${text}`)
      expect((await makeBlueprint(folder)).metadata).toEqual(before.metadata)
    },
  )

  it('NaN and Infinity are read where nobody asks for them, and refused where a number is asked for', async () => {
    await edit('config.json', (text) => text.replace('{', '{"limits": [0.0, Infinity, -Infinity, NaN],'))
    await expect(makeBlueprint(folder)).resolves.toBeDefined()
    await edit('config.json', (text) => text.replace(/"rms_norm_eps":[^,]*/, '"rms_norm_eps": NaN'))
    await expect(makeBlueprint(folder)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/rms_norm_eps is "NaN"/) as string,
    })
  })

  it('an empty generation_config.json is none', async () => {
    await writeFile(file('generation_config.json'), '\n')
    await expect(makeBlueprint(folder)).resolves.toBeDefined()
  })

  const utf16 = Buffer.from('\ufeff{}', 'utf16le')
  it.each<[string, string, string | Buffer, string]>([
    ['config.json', 'a comma too many', '{"a": 1,\n}', 'it is not JSON: "}" found in line 2 where a name in quotes is expected'],
    ['config.json', 'a text that ends', '{"a": [1, 2', 'it is not JSON: it ends in line 1 where , or ] is expected'],
    ['generation_config.json', 'single quotes', "{\n'a': 1}", 'it is not JSON: "\'" found in line 2'],
    ['tokenizer.json', 'nothing', '', 'it is empty'],
    ['tokenizer_config.json', 'Latin-1', Buffer.from('{\n"a": "\xe9"}', 'latin1'), 'it is not UTF-8 (line 2)'],
    ['config.json', 'UTF-16', utf16, 'it is UTF-16, and must be UTF-8'],
    ['config.json', 'UTF-16 without a mark', utf16.subarray(2), 'it is UTF-16, and must be UTF-8'],
    ['special_tokens_map.json', 'a list', '[]', 'it is not a JSON object'],
  ])('%s with %s is refused by its own name', async (name, _, content, words) => {
    await writeFile(file(name), content)
    await expect(makeBlueprint(folder)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`${file(name)} cannot be used: ${words}`) as string,
      suggestion: expect.stringContaining(file(name)) as string,
    })
  })

  it('an index may have a byte order mark and bare numbers', async () => {
    await rename(file('model.safetensors'), file('model-00001-of-00001.safetensors'))
    const { names } = await openCheckpoint(folder)
    const weight_map = Object.fromEntries(names.map((name) => [name, 'model-00001-of-00001.safetensors']))
    const index = JSON.stringify({ metadata: { total_size: 0 }, weight_map }).replace('"total_size":0', '"total_size":NaN')
    await writeFile(file('model.safetensors.index.json'), `\ufeff${index}`)
    expect(names.length).toBeGreaterThan(0)
    expect((await openCheckpoint(folder)).names).toEqual(names)
  })

  it('links that lead nowhere, or back to themselves, are called so', async () => {
    const link = `${folder}-link`
    await symlink('/nowhere/model', link)
    await expect(makeBlueprint(link)).rejects.toMatchObject({ code: 'LINK_DANGLING' })
    await rm(link)
    await rm(file('config.json'))
    await symlink('config.json', file('config.json'))
    await expect(makeBlueprint(folder)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining('its symbolic links lead back to themselves'),
    })
  })

  it.each(['config.json', 'tokenizer.json', 'model.safetensors', 'model.safetensors.index.json'])(
    'a Git LFS pointer in place of %s is called so',
    async (name) => {
      await writeFile(file(name), `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12345\n`)
      const thrown: unknown = await makeBlueprint(folder).catch((error: unknown) => error)
      expect(MqError.from(thrown)).toMatchObject({
        code: 'LFS_POINTER',
        message: `${file(name)} is a Git LFS pointer: the file itself was not downloaded.`,
      })
    },
  )

  it.each(['config.json', 'tokenizer_config.json', 'model.safetensors', 'generation_config.json'])(
    'a link %s that leads nowhere is called so, and not taken for a missing file',
    async (name) => {
      await rm(file(name), { force: true })
      await symlink('../blobs/gone', file(name))
      await expect(makeBlueprint(folder)).rejects.toMatchObject({
        code: 'LINK_DANGLING',
        message: `${file(name)} is a symbolic link to ../blobs/gone, which does not exist.`,
      })
    },
  )

  it('a folder in place of a file is called so', async () => {
    await rm(file('tokenizer.json'))
    await mkdir(file('tokenizer.json'))
    await expect(makeBlueprint(folder)).rejects.toMatchObject({
      message: `${file('tokenizer.json')} cannot be read: it is a folder.`,
    })
  })

  it.each(['model.safetensors', 'config.json'])('the file %s in place of the folder leads to the folder', async (name) => {
    await expect(makeBlueprint(file(name))).rejects.toMatchObject({
      code: 'CHECKPOINT_FILE',
      suggestion: `Give the folder ${folder}.`,
    })
  })
})

describe('the name of a model', () => {
  const names = ({ metadata }: Blueprint): Record<string, unknown> =>
    Object.fromEntries(
      ['name', 'organization', 'basename', 'finetune', 'version'].flatMap((key) => {
        const entry = metadata.get(`general.${key}`)
        return entry === undefined ? [] : [[key, entry.value]]
      }),
    )
  const hash = '5206a32e0bd3067aef1ce90f5528ade7d866253f'

  it.each(['models--me--My-Llama', `models--me--My-Llama/snapshots/${hash}`])(
    'is ORG/NAME in the cache of huggingface_hub: %s',
    async (place) => {
      await writeTinyCheckpoint(file(`models--me--My-Llama/snapshots/${hash}`))
      const blueprint = await makeBlueprint(file(place))
      expect(names(blueprint)).toEqual({ name: 'My Llama', organization: 'Me' })
      expect(outputName(blueprint.metadata, 'BF16')).toMatch(/^My-Llama-[\d.]+K-BF16\.gguf$/)
    },
  )

  it('takes the snapshot that refs/main names, and asks where there is none', async () => {
    const root = file('models--me--My-Llama')
    for (const commit of [hash, '0'.repeat(40)]) await writeTinyCheckpoint(join(root, 'snapshots', commit))
    await expect(makeBlueprint(root)).rejects.toMatchObject({
      code: 'CHECKPOINT_EMPTY',
      message: expect.stringContaining(hash) as string,
    })
    await mkdir(join(root, 'refs'))
    await writeFile(join(root, 'refs', 'main'), `${hash}\n`)
    expect((await makeBlueprint(root)).files).toEqual([join(root, 'snapshots', hash, 'model.safetensors')])
  })

  it('is never a hash', async () => {
    await writeTinyCheckpoint(file(hash))
    const blueprint = await makeBlueprint(file(hash))
    expect(names(blueprint)).toEqual({})
    expect(outputName(blueprint.metadata, 'BF16')).toMatch(/^ggml-model-[\d.]+K-BF16\.gguf$/)
  })

  it.each([
    'C:\\Users\\someone\\models\\My-Llama',
    'C:/Llama',
    '/',
    '.',
    '..',
    './out',
    '~/llama',
    '/home/someone/llama',
    'a/b/c',
    '',
    'x\\y',
    `org/${hash}`,
    's3:bucket',
    'org/"name"',
    'file:///home/someone/llama',
    3,
  ])('is not the path or hash %j of config.json', async (written) => {
    await writeTinyCheckpoint(folder, (checkpoint) => {
      checkpoint.config['_name_or_path'] = written
    })
    expect(names(await makeBlueprint(folder))).toEqual({ name: 'My Model' })
  })

  it.each([
    'hf:me/x-chat',
    'hf://me/x-chat',
    'hf:me/x-chat@main',
    'hf:me/x-chat:Q4_K_M',
    'https://huggingface.co/me/x-chat',
    'https://hf.co/me/x-chat/tree/main',
    'huggingface.co/me/x-chat',
    'me/x-chat@main',
    'models--me--x-chat',
  ])('is that of the repository %s', async (written) => {
    await writeTinyCheckpoint(folder, (checkpoint) => {
      checkpoint.config['_name_or_path'] = written
    })
    const expected = { name: 'X Chat', organization: 'Me', basename: 'x', finetune: 'chat' }
    expect(names(await makeBlueprint(folder))).toEqual(expected)
    expect(names(await makeBlueprint(folder, { name: written }))).toEqual(expected)
  })

  it('is what the user says', async () => {
    await writeTinyCheckpoint(folder, (checkpoint) => {
      checkpoint.config['_name_or_path'] = 'other/Name'
    })
    expect(names(await makeBlueprint(folder))).toEqual({ name: 'Name', organization: 'Other' })
    expect(names(await makeBlueprint(folder, { name: 'acme/Big-Chat-v2' }))).toEqual({
      name: 'Big Chat v2',
      organization: 'Acme',
      basename: 'Big',
      finetune: 'Chat',
      version: 'v2',
    })
  })
})
