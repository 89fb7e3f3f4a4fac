import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeDeepseekR1 } from '../../bench/deepseek-r1-checkpoint.js'
import PlanCommand from '../../commands/plan.js'
import Quantize from '../../commands/quantize.js'
import type { TensorRole } from '../../src/model/blueprint.js'
import type { DryRun } from '../../src/plan/dry-run/dry-run.js'
import type { Plan } from '../../src/plan/plan.js'
import { folderHub } from '../support/folder-hub.js'
import { writeHollowGguf } from '../support/llama-buffers.js'
import { llamaHeader } from '../support/model-shapes.js'
import { runCommand } from '../support/run-command.js'

interface Outcome extends DryRun {
  readonly error?: { readonly code: string }
}

async function plan(...args: string[]): Promise<Outcome> {
  const { stdout } = await runCommand(PlanCommand, [...args, '--json'])
  return JSON.parse(stdout) as Outcome
}

function bitsOf({ tensors }: Plan, roles: (role: TensorRole) => boolean): number {
  const chosen = tensors.filter(({ role }) => roles(role))
  const elements = chosen.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
  return (8 * chosen.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)) / elements
}

let folder: string
let r1: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-headers-'))
  r1 = await writeDeepseekR1(join(folder, 'DeepSeek-R1'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

describe('DeepSeek-R1, 671 billion weights, from its headers', () => {
  let made: Promise<Outcome> | undefined
  const planned = (): Promise<Outcome> => (made ??= plan(r1, '--bits', '2.51', '--no-measure'))

  it('lands at 212 GB within 1 % at 2.51 bits, with what every token passes above the routed experts', async () => {
    const before = process.cpuUsage()
    const made = await planned()
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1e6).toBeLessThan(10)
    expect(made.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBeGreaterThan(671e9)
    expect(Math.abs(made.dataBytes / 212e9 - 1)).toBeLessThan(0.01)
    const experts = bitsOf(made, (role) => role.startsWith('expert-'))
    for (const above of ['attention-', 'shared-expert-', 'embedding', 'output']) {
      expect(
        bitsOf(made, (role) => role.startsWith(above)),
        above,
      ).toBeGreaterThan(experts + 1)
    }
    expect(made.notes.join('\n')).toMatch(/typical values for each type/)
  })

  it('is read from afar without its weights', async () => {
    await using hub = await folderHub(r1)
    const here = await planned()
    const { tensors, dataBytes } = await plan('hf:test/model', '--endpoint', hub.url, '--bits', '2.51')
    expect({ tensors, dataBytes }).toEqual({ tensors: here.tensors, dataBytes: here.dataBytes })
    // Headers and index are 20 MB of a repository of 672 GB.
    expect(hub.sentBytes()).toBeLessThan(30e6)
  })
})

describe('a dense model of 70 billion weights, from its header', () => {
  it('fits into 48 GiB with its context, and fills them', async () => {
    const { metadata, tensors } = llamaHeader({
      hidden: 8192,
      width: 28_672,
      heads: 64,
      groups: 8,
      layers: 80,
      vocabulary: 128_256,
    })
    const path = join(folder, 'dense.gguf')
    await writeHollowGguf(path, metadata, tensors)
    const { memory, placement } = await plan(path, '--fit', '48GiB', '--ctx', '32768', '--vram', '48GiB', '--no-measure')
    const planned = memory.find(({ name }) => name === 'plan')
    // 80 layers of keys and values of 8 heads of 128 values, in f16.
    expect(planned?.kvCacheBytes).toBe(80 * 2 * 8 * 128 * 2 * 32_768)
    expect(planned?.totalBytes).toBeLessThanOrEqual(48 * 2 ** 30)
    expect(planned?.totalBytes).toBeGreaterThan(0.99 * 48 * 2 ** 30)
    expect(placement?.flags).toBe('-ngl all')
  })

  it('says that it does not know what layers take that are not there', async () => {
    const { metadata, tensors } = llamaHeader({ hidden: 64, width: 64, heads: 2, groups: 1, layers: 1, vocabulary: 64 })
    const path = join(folder, 'endless.gguf')
    await writeHollowGguf(path, new Map(metadata).set('llama.block_count', { type: 'uint32', value: 2 ** 32 - 1 }), tensors)
    expect((await plan(path, '--type', 'Q8_0')).memory).toEqual([])
    expect((await plan(path, '--fit', '1GiB', '--no-measure')).error?.code).toBe('FOOTPRINT_UNKNOWN')
  })
})

describe('a model from afar', () => {
  it.each(['samples/llama-kjv', 'samples/deepseek-kjv-moe'])('plans %s as it does here, from its headers', async (sample) => {
    await using hub = await folderHub(sample)
    const here = await plan(sample, '--bits', '3', '--no-measure')
    const { tensors } = await plan(`${hub.url}/test/model`, '--bits', '3')
    expect(tensors).toEqual(here.tensors)
    const names = (await readdir(sample)).filter((name) => !name.endsWith('.safetensors'))
    const small = await Promise.all(names.map(async (name) => (await stat(join(sample, name))).size))
    // Each small file once, and 64 KiB of each shard for its header; a model has megabytes.
    expect(hub.sentBytes()).toBeLessThanOrEqual(small.reduce((sum, size) => sum + size, 0) + 2 ** 17)
  })

  it('reads a GGUF, in shards or by its address, as far as its header goes', async () => {
    await runCommand(Quantize, ['samples/llama-kjv', '--type', 'Q8_0', '-o', join(folder, 'whole.gguf')])
    await runCommand(Quantize, ['samples/llama-kjv', '--type', 'Q8_0', '--split-max-size', '3MB', '-o', join(folder, 'x.gguf')])
    const here = await plan(join(folder, 'whole.gguf'), '--bits', '3', '--no-measure')
    await using hub = await folderHub(folder)
    const byAddress = await plan(`${hub.url}/test/model/resolve/main/whole.gguf`, '--bits', '3')
    const inShards = await plan(`${hub.url}/test/model/resolve/main/x-00001-of-00002.gguf`, '--bits', '3')
    expect(byAddress.tensors).toEqual(here.tensors)
    expect(inShards.tensors).toEqual(here.tensors)
    expect(hub.requests.every((request) => !request.endsWith('whole'))).toBe(true)
  })

  it('refuses a server without ranges before weights arrive', async () => {
    await using hub = await folderHub(r1, { ranges: false })
    const { error } = await plan('hf:test/model', '--endpoint', hub.url, '--bits', '3')
    expect(error?.code).toBe('HUB_ANSWER_INVALID')
  })

  it.each([
    ['hf:other/model', 'REPO_MISSING'],
    ['hf:test/model:Q9', 'MODEL_NOT_FOUND'],
    ['hf:not a name', 'NAME_INVALID'],
  ])('refuses %s with %s', async (name, code) => {
    await using hub = await folderHub('samples/llama-kjv')
    const { error } = await plan(name, '--endpoint', hub.url, '--bits', '3')
    expect(error?.code).toBe(code)
  })

  it('refuses an address where no model is', async () => {
    await using hub = await folderHub('samples/llama-kjv')
    expect((await plan(`${hub.url}/nothing.gguf`, '--bits', '3')).error?.code).toBe('FILE_MISSING')
    expect((await plan(`${hub.url}/`, '--bits', '3')).error?.code).toBe('NAME_INVALID')
  })
})
