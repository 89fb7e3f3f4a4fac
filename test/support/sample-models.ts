import { randomUUID } from 'node:crypto'
import { access, copyFile, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Metadata } from '../../formats/gguf/index.js'
import { MqError } from '../../src/errors/index.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import { planUniform } from '../../src/plan/plan-uniform.js'
import { finish } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { findLibraries } from '../../src/runner/libraries.js'

type SampleName = 'llama-kjv' | 'deepseek-kjv-moe'
type SampleType = Extract<GgmlTypeName, 'F32' | 'F16' | 'BF16' | 'Q8_0'>

/** Path of a file under samples/. */
export const samplePath = (name: string): string => fileURLToPath(new URL(`../../samples/${name}`, import.meta.url))

function whyNot(): string | undefined {
  try {
    findLibraries()
    return undefined
  } catch (error) {
    return error instanceof MqError ? error.message : String(error)
  }
}

const reason = whyNot()

/** Use with `describe.skipIf(!llama.available)(... llama.name ...)`. */
export const llama = {
  /** False where the optional package with llama.cpp's libraries is not installed. */
  available: reason === undefined,
  name: reason === undefined ? 'embedded llama.cpp' : `SKIPPED: ${reason}`,
}

/**
 * A sample as a GGUF file, made once for all test files of a run: fresh-build.ts makes the folder and takes it away. Read only.
 */
async function shared(sample: SampleName, type: SampleType): Promise<string> {
  const folder = process.env['MQ_TEST_MODELS'] ?? tmpdir()
  const path = join(folder, `${sample}-${type}.gguf`)
  if (
    await access(path).then(
      () => true,
      () => false,
    )
  )
    return path
  const blueprint = await makeBlueprint(samplePath(sample))
  const own = join(folder, `${randomUUID()}.gguf`)
  await finish(quantize({ blueprint, plan: planUniform(blueprint, type), output: own, threads: 1 }))
  await rename(own, path)
  return path
}

/** A folder of GGUF files made from the samples; `await using`, or call its dispose in afterAll. */
export async function sampleModels(): Promise<{
  readonly folder: string
  /** Converts a sample, with metadata of its own in place of the sample's; `undefined` takes a key away. */
  make(sample: SampleName, type: SampleType, metadata?: Readonly<Record<string, MetadataChange>>): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-models-'))
  let made = 0
  return {
    folder,
    async make(sample, type, metadata = {}) {
      made += 1
      const output = join(folder, `${sample}-${type}-${made}.gguf`)
      if (Object.keys(metadata).length === 0) {
        const path = await shared(sample, type)
        // A copy: a test may write into it.
        await copyFile(path, output)
        return output
      }
      const blueprint = await makeBlueprint(samplePath(sample))
      const changed = new Map(blueprint.metadata)
      for (const [key, value] of Object.entries(metadata)) {
        if (value === undefined) changed.delete(key)
        else changed.set(key, value)
      }
      await finish(
        quantize({ blueprint: { ...blueprint, metadata: changed }, plan: planUniform(blueprint, type), output, threads: 1 }),
      )
      return output
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

type MetadataChange = Metadata extends ReadonlyMap<string, infer Value> ? Value | undefined : never
