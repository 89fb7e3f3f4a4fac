import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findLibraries } from '../../../src/runner/libraries.js'

const platform = `linux-${process.arch}`
const files = ['libggml-base.so', 'libggml.v0.5.0.so', 'libllama.v0.5.0.so']

describe.skipIf(process.platform !== 'linux')('findLibraries', () => {
  let folder: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-libraries-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  async function install(name: string, names: readonly string[]): Promise<string> {
    const root = join(folder, name)
    await mkdir(join(root, 'dist'), { recursive: true })
    await mkdir(join(root, 'bins', name), { recursive: true })
    await writeFile(join(root, 'package.json'), '{"version": "9.9.9"}')
    for (const file of names) await writeFile(join(root, 'bins', name, file), '')
    return join(root, 'bins', name)
  }

  const resolver = (installed: readonly string[]) => (name: string) => {
    const short = name.replace('@node-llama-cpp/', '')
    if (!installed.includes(short)) throw new Error(`Cannot find module '${name}'`)
    return join(folder, short, 'dist', 'index.js')
  }

  it('takes the package of the platform', async () => {
    expect(findLibraries(resolver([await install(platform, files).then(() => platform)]))).toBe(
      join(folder, platform, 'bins', platform),
    )
  })

  it('prefers one for GPUs, where the user has installed it', async () => {
    await install(platform, files)
    const cuda = await install(`${platform}-cuda`, ['libggml-base.so', 'libggml.cuda.v0.5.0.so', 'libllama.cuda.v0.5.0.so'])
    expect(findLibraries(resolver([platform, `${platform}-cuda`]))).toBe(cuda)
  })

  it('says what is missing', () => {
    expect(() => findLibraries(resolver([]))).toThrow(
      expect.objectContaining({ code: 'LLAMA_MISSING', message: expect.stringContaining(`@node-llama-cpp/${platform}`) }),
    )
  })

  it('refuses another version than the one whose structs are known', async () => {
    await install(platform, ['libggml-base.so', 'libggml.v0.6.0.so', 'libllama.v0.6.0.so'])
    expect(() => findLibraries(resolver([platform]))).toThrow(
      expect.objectContaining({
        code: 'LLAMA_VERSION',
        details: expect.objectContaining({ found: 'libllama.v0.6.0.so (package version 9.9.9)' }),
      }),
    )
  })
})
