import { Flags, type Interfaces } from '@oclif/core'
import { makeBlueprint } from '../../src/model/index.js'
import { loraFlag } from './lora-flag.js'
import { parseSize } from './quantities.js'

type FlagsOf<T extends Interfaces.FlagInput> = Interfaces.InferredFlags<T>

/** Flags of all commands that read a model's weights. */
export const workFlags = {
  threads: Flags.integer({
    char: 't',
    min: 1,
    max: 1024,
    helpValue: 'N',
    description: 'Worker threads. [default: one for each core]',
  }),
  memory: Flags.string({
    helpValue: 'SIZE',
    description:
      'Memory limit of the process, such as 300MB; a low limit means fewer threads. [default: 600MB, or about 30MB for each thread if that is more]',
  }),
  pre: Flags.string({
    helpValue: 'NAME',
    description:
      'Name of the pre-tokenizer in llama.cpp, such as llama-bpe, for a checkpoint whose pre-tokenizer is not recognised. [default: detected from tokenizer.json]',
  }),
  'no-mtp': Flags.boolean({
    description: 'Leave out layers for multi-token prediction (MTP, NextN), as --no-mtp of llama.cpp.',
    exclusive: ['mtp-only'],
  }),
  'mtp-only': Flags.boolean({
    description: 'Use only the layers for multi-token prediction, as a draft model, as --mtp of llama.cpp.',
  }),
  lora: loraFlag(),
  name: Flags.string({
    helpValue: 'NAME',
    description:
      'Name of the model in the metadata and the output file, such as ORG/My-Model-8B. [default: from config.json or the folder]',
  }),
}

/** Flags of all commands that write a model. */
export const writeFlags = {
  output: Flags.string({
    char: 'o',
    helpValue: 'FILE',
    description: 'GGUF file to write, or a folder. [default: a file named as llama.cpp does, in the current folder]',
  }),
  'split-max-size': Flags.string({
    helpValue: 'SIZE',
    description: 'Split the output into shards with at most this much tensor data each, such as 5GB. [default: one file]',
  }),
  force: Flags.boolean({ description: 'Overwrite existing files.' }),
  fresh: Flags.boolean({ description: 'Start over: discard the partial output of an interrupted run instead of resuming it.' }),
}

/**
 * `workFlags` as options of the library.
 * @param command the one that was called, for messages.
 * @throws MqError FLAG_INVALID.
 */
export function workOptions(
  { threads, memory }: Pick<FlagsOf<typeof workFlags>, 'threads' | 'memory'>,
  command: string,
): { readonly threads?: number; readonly memoryBytes?: number } {
  return {
    threads,
    memoryBytes: memory === undefined ? undefined : parseSize(memory, 'memory', command),
  }
}

/**
 * `writeFlags` as options of the library, except --output, whose default depends on the model.
 * @throws MqError FLAG_INVALID.
 */
export function writeOptions(
  { force, fresh, 'split-max-size': size }: Omit<FlagsOf<typeof writeFlags>, 'output'>,
  command: string,
): { readonly force: boolean; readonly fresh: boolean; readonly splitMaxBytes?: number } {
  return { force, fresh, splitMaxBytes: size === undefined ? undefined : parseSize(size, 'split-max-size', command) }
}

/** What `workFlags` say of a checkpoint that its files do not. */
export function sourceOptions({
  pre,
  name,
  lora,
  'no-mtp': without,
  'mtp-only': only,
}: Pick<FlagsOf<typeof workFlags>, 'pre' | 'name' | 'lora' | 'no-mtp' | 'mtp-only'>): NonNullable<
  Parameters<typeof makeBlueprint>[1]
> {
  return { pre, name, lora, mtp: without ? 'without' : only ? 'only' : undefined }
}

/** The blueprint of the model at `path`. @throws what makeBlueprint throws. */
export function blueprintOf(path: string, flags: Parameters<typeof sourceOptions>[0]): ReturnType<typeof makeBlueprint> {
  return makeBlueprint(path, sourceOptions(flags))
}
