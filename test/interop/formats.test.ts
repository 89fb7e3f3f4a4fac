import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bufferSource } from '../../formats/byte-source.js'
import {
  type MetadataValue,
  openGguf,
  planShards,
  readGguf,
  shardMetadata,
  shardName,
  writeGguf,
} from '../../formats/gguf/index.js'
import { dtypeBits, readSafetensorsHeader, type SafetensorsDtype, writeSafetensors } from '../../formats/safetensors/index.js'
import { foreign } from '../support/foreign.js'

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'mq-formats-'))
})
afterAll(() => rm(cwd, { recursive: true, force: true }))

const bytesOf = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 7 + seed) % 256)

describe.skipIf(!foreign.available)(`python's safetensors (${foreign.name})`, () => {
  test('reads what we write, in every element type', async () => {
    const tensors = (Object.keys(dtypeBits) as SafetensorsDtype[]).map((dtype, index) => ({
      name: `🦙 ${dtype}`,
      dtype,
      shape: [2, 4],
      data: bytesOf(dtypeBits[dtype], index),
    }))
    await writeSafetensors(join(cwd, 'ours.safetensors'), tensors, new Map([['format', 'pt']]))
    const { stdout } = await foreign.python(
      `
import json, safetensors
with open("ours.safetensors", "rb") as f: tensors = safetensors.deserialize(f.read())
with safetensors.safe_open("ours.safetensors", "numpy") as f: metadata = f.metadata()
print(json.dumps([metadata, {name: [t["dtype"], t["shape"], bytes(t["data"]).hex()] for name, t in tensors}]))
`,
      [],
      { cwd },
    )
    const expected = tensors.map(({ name, dtype, shape, data }) => [name, [dtype, shape, Buffer.from(data).toString('hex')]])
    expect(JSON.parse(stdout)).toEqual([{ format: 'pt' }, Object.fromEntries(expected)])
  })

  test('is read, and writes the same bytes', async () => {
    await foreign.python(
      `
import safetensors.numpy, numpy
safetensors.numpy.save_file({
  "b": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "a": numpy.arange(5, dtype=numpy.uint8),
  "é": numpy.array(7, dtype=numpy.int64), "none": numpy.zeros((0, 4), dtype=numpy.float16),
}, "theirs.safetensors", {"format": "np"})
`,
      [],
      { cwd },
    )
    const bytes = await readFile(join(cwd, 'theirs.safetensors'))
    const header = await readSafetensorsHeader(bufferSource(bytes))
    expect(header.metadata).toEqual(new Map([['format', 'np']]))
    const b = header.tensors.get('b')
    expect(b).toMatchObject({ dtype: 'F32', shape: [2, 3] })
    expect([
      ...new Float32Array(bytes.buffer.slice(bytes.byteOffset + (b?.start ?? 0), bytes.byteOffset + (b?.end ?? 0))),
    ]).toEqual([0, 1, 2, 3, 4, 5])
    const again = [...header.tensors].map(([name, { dtype, shape, start, end }]) => ({
      name,
      dtype,
      shape,
      data: bytes.subarray(start, end),
    }))
    await writeSafetensors(join(cwd, 'again.safetensors'), again.toReversed(), header.metadata)
    expect(await readFile(join(cwd, 'again.safetensors'))).toEqual(bytes)
  })
})

const metadata = new Map<string, MetadataValue>([
  ['general.architecture', { type: 'string', value: 'test' }],
  ['test.u8', { type: 'uint8', value: 255 }],
  ['test.i8', { type: 'int8', value: -128 }],
  ['test.u16', { type: 'uint16', value: 65535 }],
  ['test.i16', { type: 'int16', value: -32768 }],
  ['test.u32', { type: 'uint32', value: 4294967295 }],
  ['test.i32', { type: 'int32', value: -2147483648 }],
  ['test.f32', { type: 'float32', value: Math.fround(0.1) }],
  ['test.u64', { type: 'uint64', value: 18446744073709551615n }],
  ['test.i64', { type: 'int64', value: -9223372036854775808n }],
  ['test.f64', { type: 'float64', value: 0.1 }],
  ['test.bool', { type: 'bool', value: true }],
  ['test.text', { type: 'string', value: 'héllo 🦙 \n' }],
  ['test.texts', { type: 'array', elementType: 'string', value: ['', '🦙', 'b'] }],
  ['test.numbers', { type: 'array', elementType: 'int32', value: [-1, 0, 7] }],
])

const pythonValues = `
def value(field):
  v = field.contents()
  return str(v) if isinstance(v, int) and not isinstance(v, bool) else v
`

describe.skipIf(!foreign.available)(`gguf-py (${foreign.name})`, () => {
  test('reads what we write', async () => {
    await writeGguf(join(cwd, 'ours.gguf'), metadata, [
      { name: 'token_embd.weight', dimensions: [32, 3], type: 'Q8_0', data: bytesOf(102, 1) },
      { name: 'blk.0.attn_norm.weight', dimensions: [5], type: 'F32', data: bytesOf(20, 2) },
      { name: 'blk.0.ffn_down_exps.weight', dimensions: [256, 2, 3], type: 'IQ2_XXS', data: bytesOf(396, 3) },
    ])
    const { stdout } = await foreign.python(
      `
import json, gguf
${pythonValues}
r = gguf.GGUFReader("ours.gguf")
print(json.dumps([
  {k: [[t.name for t in f.types], value(f)] for k, f in r.fields.items() if not k.startswith("GGUF.")},
  [[t.name, t.shape.tolist(), t.tensor_type.name, int(t.n_bytes), t.data.tobytes().hex()] for t in r.tensors],
]))
`,
      [],
      { cwd },
    )
    const [fields, tensors] = JSON.parse(stdout) as [Record<string, unknown>, unknown[]]
    expect(fields).toEqual({
      'general.architecture': [['STRING'], 'test'],
      'test.u8': [['UINT8'], '255'],
      'test.i8': [['INT8'], '-128'],
      'test.u16': [['UINT16'], '65535'],
      'test.i16': [['INT16'], '-32768'],
      'test.u32': [['UINT32'], '4294967295'],
      'test.i32': [['INT32'], '-2147483648'],
      'test.f32': [['FLOAT32'], 0.10000000149011612],
      'test.u64': [['UINT64'], '18446744073709551615'],
      'test.i64': [['INT64'], '-9223372036854775808'],
      'test.f64': [['FLOAT64'], 0.1],
      'test.bool': [['BOOL'], true],
      'test.text': [['STRING'], 'héllo 🦙 \n'],
      'test.texts': [
        ['ARRAY', 'STRING'],
        ['', '🦙', 'b'],
      ],
      'test.numbers': [
        ['ARRAY', 'INT32'],
        [-1, 0, 7],
      ],
    })
    const hex = (length: number, seed: number): string => Buffer.from(bytesOf(length, seed)).toString('hex')
    expect(tensors).toEqual([
      ['token_embd.weight', [32, 3], 'Q8_0', 102, hex(102, 1)],
      ['blk.0.attn_norm.weight', [5], 'F32', 20, hex(20, 2)],
      ['blk.0.ffn_down_exps.weight', [256, 2, 3], 'IQ2_XXS', 396, hex(396, 3)],
    ])
  })

  test.each(['little', 'big'] as const)('is read, %s-endian', async (byteOrder) => {
    const bytes = await writeWithPython(byteOrder)
    const header = await readGguf(bufferSource(bytes))
    expect(header).toMatchObject({ version: 3, byteOrder, alignment: 32 })
    expect(header.metadata).toEqual(metadata)
    expect(header.tensors).toEqual([
      { name: 'x', dimensions: [3, 2], type: 'F32', offset: 0, sizeBytes: 24 },
      { name: 'y', dimensions: [1], type: 'F16', offset: 32, sizeBytes: 2 },
    ])
    const data = new DataView(bytes.buffer, bytes.byteOffset + header.dataOffset)
    expect([0, 1, 2, 3, 4, 5].map((index) => data.getFloat32(4 * index, byteOrder === 'little'))).toEqual([0, 1, 2, 3, 4, 5])
    expect(bytes.byteLength).toBe(header.dataOffset + 64)
  })

  test('writes the same bytes', async () => {
    const bytes = await writeWithPython('little')
    const header = await readGguf(bufferSource(bytes))
    const inputs = header.tensors.map((tensor) => {
      const start = header.dataOffset + tensor.offset
      return { ...tensor, data: bytes.subarray(start, start + tensor.sizeBytes) }
    })
    await writeGguf(join(cwd, 'again.gguf'), header.metadata, inputs)
    expect(await readFile(join(cwd, 'again.gguf'))).toEqual(bytes)
  })
})

async function writeWithPython(byteOrder: 'little' | 'big'): Promise<Uint8Array> {
  const script = `
import gguf, numpy
w = gguf.GGUFWriter("theirs.gguf", "test", endianess=gguf.GGUFEndian.${byteOrder.toUpperCase()})
w.add_uint8("test.u8", 255); w.add_int8("test.i8", -128); w.add_uint16("test.u16", 65535); w.add_int16("test.i16", -32768)
w.add_uint32("test.u32", 4294967295); w.add_int32("test.i32", -2147483648); w.add_float32("test.f32", 0.1)
w.add_uint64("test.u64", 18446744073709551615); w.add_int64("test.i64", -9223372036854775808); w.add_float64("test.f64", 0.1)
w.add_bool("test.bool", True); w.add_string("test.text", "héllo 🦙 \\n")
w.add_array("test.texts", ["", "🦙", "b"]); w.add_array("test.numbers", [-1, 0, 7])
w.add_tensor("x", numpy.arange(6, dtype=numpy.float32).reshape(2, 3))
w.add_tensor("y", numpy.arange(1, dtype=numpy.float16))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
`
  await foreign.python(script, [], { cwd })
  return readFile(join(cwd, 'theirs.gguf'))
}

describe.skipIf(!foreign.available)(`llama-gguf-split (${foreign.name})`, () => {
  const tensors = Array.from({ length: 5 }, (_, index) => ({
    name: `blk.${index}.ffn_down.weight`,
    dimensions: [8, 2 ** 15],
    type: 'F32' as const,
    data: bytesOf(2 ** 20, index),
  }))

  test('splits as we do, and its shards are opened as one', async () => {
    await writeGguf(join(cwd, 'whole.gguf'), metadata, tensors)
    await foreign.run('llama-gguf-split', ['--split', '--split-max-size', '3M', 'whole.gguf', 'theirs'], { cwd })
    const model = await openGguf(join(cwd, shardName('theirs', 1, 3)))
    const sized = tensors.map((tensor) => ({ ...tensor, sizeBytes: tensor.data.byteLength }))
    expect(model.files.map((file) => basename(file))).toEqual([
      'theirs-00001-of-00003.gguf',
      'theirs-00002-of-00003.gguf',
      'theirs-00003-of-00003.gguf',
    ])
    expect(model.metadata).toEqual(metadata)
    expect(model.tensors.map(({ name, file }) => [name, file])).toEqual(
      planShards(sized, 3_000_000).flatMap((shard, file) => shard.map(({ name }) => [name, file])),
    )
    for (const [index, { file, start, end }] of model.tensors.entries()) {
      expect(
        Buffer.compare((await model.sources[file]?.slice(start, end)) ?? new Uint8Array(), tensors[index]?.data ?? bytesOf(0, 0)),
      ).toBe(0)
    }
    await model.close()
  })

  test('merges our shards', async () => {
    for (const [index, part] of [tensors.slice(0, 3), tensors.slice(3)].entries()) {
      await writeGguf(join(cwd, shardName('ours', index, 2)), shardMetadata(metadata, index, 2, tensors.length), part)
    }
    await foreign.run('llama-gguf-split', ['--merge', shardName('ours', 0, 2), 'merged.gguf'], { cwd })
    const merged = await openGguf(join(cwd, 'merged.gguf'))
    expect(merged.tensors.map(({ name }) => name)).toEqual(tensors.map(({ name }) => name))
    for (const [index, { start, end }] of merged.tensors.entries()) {
      expect(
        Buffer.compare((await merged.sources[0]?.slice(start, end)) ?? new Uint8Array(), tensors[index]?.data ?? bytesOf(0, 0)),
      ).toBe(0)
    }
    await merged.close()
  })
})
