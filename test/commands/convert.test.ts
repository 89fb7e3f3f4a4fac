import { createHash } from 'node:crypto'
import { cp, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ggmlType } from '../../formats/ggml/types.js'
import { openGguf } from '../../formats/gguf/index.js'
import { runMqHere } from '../support/run-mq-here.js'

const sample = (name: string): string => fileURLToPath(new URL(`../../samples/${name}`, import.meta.url))

let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-convert-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

interface Golden {
  readonly tensors: readonly { name: string; shape: number[]; type: number; bytes: number; sha256: string }[]
  readonly bitsPerWeight: number
}

async function tensorsOf(path: string): Promise<Golden['tensors']> {
  const gguf = await openGguf(path)
  const tensors = []
  for (const { name, dimensions, type, sizeBytes, file, start, end } of gguf.tensors) {
    const bytes = (await gguf.sources[file]?.slice(start, end)) ?? new Uint8Array()
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    tensors.push({ name, shape: [...dimensions], type: ggmlType(type).id, bytes: sizeBytes, sha256 })
  }
  await gguf.close()
  return tensors
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)

describe.each(['llama-kjv', 'deepseek-kjv-moe'])('%s', (name) => {
  test.each(['f32', 'f16', 'bf16', 'q8_0'])("as %s is, tensor for tensor, what llama.cpp's converter makes", async (type) => {
    const output = join(folder, 'model.gguf')
    const { exitCode, stdout, stderr } = await runMqHere(['convert', sample(name), '--type', type, '-o', output, '--json'])
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    const golden = JSON.parse(await readFile(new URL(`../golden/${name}.${type}.json`, import.meta.url), 'utf8')) as Golden
    expect((await tensorsOf(output)).toSorted(byName)).toEqual(golden.tensors.toSorted(byName))
    const report = JSON.parse(stdout) as { bitsPerWeight: number; path: string; sizeBytes: number }
    expect(report.bitsPerWeight).toBeCloseTo(golden.bitsPerWeight, 9)
    expect(report.path).toBe(output)
    expect(report.sizeBytes).toBe((await readFile(output)).byteLength)
    expect(await readdir(folder)).toEqual(['model.gguf'])
  })
})

describe('the file name', () => {
  test("is llama.cpp's where none is given, and auto is the type of the checkpoint", async () => {
    const { exitCode, stdout } = await runMqHere(['convert', sample('llama-kjv')], { cwd: folder })
    expect(exitCode).toBe(0)
    expect(await readdir(folder)).toEqual(['Llama-Kjv-4.2M-BF16.gguf'])
    expect(stdout).toContain('Llama-Kjv-4.2M-BF16.gguf')
    expect(stdout).toContain('Next: mq quantize')
  })

  test('goes into a folder that is given', async () => {
    const { exitCode } = await runMqHere(['convert', sample('llama-kjv'), '--type', 'q8_0', '-o', folder])
    expect(exitCode).toBe(0)
    expect(await readdir(folder)).toEqual(['Llama-Kjv-4.2M-Q8_0.gguf'])
  })
})

describe('what is wrong is said in one line', () => {
  const failing = async (args: readonly string[]): Promise<{ exitCode: number | undefined; code: string | undefined }> => {
    const { exitCode, stderr, stdout } = await runMqHere(['convert', ...args], { env: { NODE_ENV: 'production' } })
    expect(stdout).toBe('')
    expect(stderr.split('\n')).toHaveLength(1)
    return { exitCode, code: /^mq: ([A-Z_]+): /.exec(stderr)?.[1] }
  }

  test('an existing file', async () => {
    const output = join(folder, 'model.gguf')
    await writeFile(output, 'precious')
    expect(await failing([sample('llama-kjv'), '-o', output])).toEqual({ exitCode: 2, code: 'OUTPUT_EXISTS' })
    expect(await readFile(output, 'utf8')).toBe('precious')
    expect((await runMqHere(['convert', sample('llama-kjv'), '-o', output, '--force'])).exitCode).toBe(0)
  })

  test('a missing folder', async () => {
    const output = join(folder, 'missing', 'model.gguf')
    expect(await failing([sample('llama-kjv'), '-o', output])).toEqual({ exitCode: 4, code: 'FILE_UNWRITABLE' })
  })

  test('a missing source', async () => {
    expect(await failing([join(folder, 'nothing')])).toEqual({ exitCode: 3, code: 'FILE_MISSING' })
  })

  test('a type that is not for conversion', async () => {
    expect(await failing([sample('llama-kjv'), '--type', 'q4_k'])).toEqual({ exitCode: 2, code: 'USAGE' })
  })

  test('weights that are not numbers, with their tensor', async () => {
    const source = join(folder, 'model')
    await cp(sample('llama-kjv'), source, { recursive: true })
    const file = await open(join(source, 'model.safetensors'), 'r+')
    const { size } = await file.stat()
    await file.write(Uint8Array.of(0xc0, 0x7f), 0, 2, size - 2)
    await file.close()
    const { exitCode, stderr } = await runMqHere(['convert', source, '-o', join(folder, 'model.gguf')])
    expect(exitCode).toBe(3)
    expect(stderr).toMatch(/^mq: TENSOR_NOT_FINITE: The tensor \S+ has NaN or infinite weights, first in row \d+\./)
    expect(await readdir(folder)).toEqual(['model'])
  })
})
