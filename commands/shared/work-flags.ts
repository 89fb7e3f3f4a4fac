import { Flags, type Interfaces } from '@oclif/core'
import { makeBlueprint } from '../../src/index.js'
import { parseSize } from './quantities.js'

type FlagsOf<T extends Interfaces.FlagInput> = Interfaces.InferredFlags<T>

/** Flags of all commands that go through a model's weights. */
export const workFlags = {
  threads: Flags.integer({ char: 't', min: 1, max: 1024, description: 'Worker threads. [default: one for each core]' }),
  memory: Flags.string({
    description:
      'What the process may hold in memory, such as 300MB; fewer threads where it is little. [default: 600MB, or some 30MB for each thread where that is more]',
  }),
  pre: Flags.string({ description: "llama.cpp's name of the pre-tokenizer, where it is not recognised, such as llama-bpe." }),
}

/** Flags of all commands that write a model. */
export const writeFlags = {
  output: Flags.string({
    char: 'o',
    description: 'File to write, or a folder. [default: a name as llama.cpp gives, in the working folder]',
  }),
  'split-max-size': Flags.string({
    description: 'Write shards of at most so much tensor data each, such as 5GB. [default: one file]',
  }),
  force: Flags.boolean({ char: 'f', description: 'Replace files that are there already.' }),
  fresh: Flags.boolean({ description: 'Begin anew, and throw away what an earlier run has left.' }),
}

/**
 * What `workFlags` say, as src/ takes it.
 * @param command the one that was called, for messages.
 * @throws MqError FLAG_INVALID.
 */
export function workOptions(
  { threads, memory }: Pick<FlagsOf<typeof workFlags>, 'threads' | 'memory'>,
  command: string,
): { readonly threads?: number; readonly memoryBytes?: number } {
  return {
    ...(threads !== undefined && { threads }),
    ...(memory !== undefined && { memoryBytes: parseSize(memory, 'memory', command) }),
  }
}

/**
 * What `writeFlags` say, as src/ takes it; the output's name depends on more.
 * @throws MqError FLAG_INVALID.
 */
export function writeOptions(
  { force, fresh, 'split-max-size': size }: Omit<FlagsOf<typeof writeFlags>, 'output'>,
  command: string,
): { readonly force: boolean; readonly fresh: boolean; readonly splitMaxBytes?: number } {
  return { force, fresh, ...(size !== undefined && { splitMaxBytes: parseSize(size, 'split-max-size', command) }) }
}

/** The blueprint of the model at `path`. @throws what makeBlueprint throws. */
export function blueprintOf(path: string, { pre }: { readonly pre?: string | undefined }): ReturnType<typeof makeBlueprint> {
  return makeBlueprint(path, pre === undefined ? {} : { pre })
}
