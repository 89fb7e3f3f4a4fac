import { MqError } from '../errors/index.js'
import type { ConnectOptions } from '../hub/index.js'
import type { Blueprint } from './blueprint.js'
import { type BlueprintOptions, blueprintOfCheckpoint, blueprintOfGguf, makeBlueprint } from './convert/index.js'
import type { RemoteModel } from './remote-model.js'
import type { RemoteShards } from './remote-shards.js'

/** How a model is read, and from which hub. */
export interface ModelOptions extends BlueprintOptions {
  /** Address of the hub or registry that `hf:` names are looked up at. */
  readonly endpoint?: string
  readonly signal?: AbortSignal
}

/** What is to be known of a model before any weight is read. */
export interface ModelHeaders {
  readonly blueprint: Blueprint
  /** Whether its weights lie on this machine, so that they can be measured. */
  readonly hasWeights: boolean
}

/**
 * Reads a model's headers, from files or over HTTP: see makeBlueprint and openRemoteModel. No weights are downloaded.
 * @throws MqError as these do.
 */
export async function readModelHeaders(
  name: string,
  { pre, name: given, mtp, lora, ...connection }: ModelOptions = {},
): Promise<ModelHeaders> {
  if (!isRemoteModel(name)) {
    return { blueprint: await makeBlueprint(name, { pre, name: given, mtp, lora }), hasWeights: true }
  }
  const model = await remoteModel(name, connection)
  const blueprint =
    model.kind === 'checkpoint'
      ? await blueprintOfCheckpoint(model.folder, { pre, name: given, mtp, lora })
      : await blueprintOfGguf(model.path, model.open)
  return { blueprint, hasWeights: false }
}

/** Opens a remote model: see openRemoteModel, which is loaded only when it is needed, since what speaks HTTP takes time to load. */
export async function remoteModel(name: string, options: ConnectOptions = {}): Promise<RemoteModel> {
  const { openRemoteModel } = await import('./remote-model.js')
  return await openRemoteModel(name, options)
}

/** A checkpoint of a hub whose weight files come one by one. */
export interface StreamedModel {
  /** With addresses for files: for headers and plans. */
  readonly blueprint: Blueprint
  /** The same with files in a folder, and what brings them there. */
  shardsIn(directory: string): { readonly blueprint: Blueprint; readonly shards: RemoteShards }
}

/**
 * Opens a checkpoint of a hub to be quantized shard by shard: headers and small files are read, no weights.
 * @param name `hf:NS/NAME[@REVISION]`.
 * @throws MqError as readModelHeaders; OPTION_INVALID for any other name.
 */
export async function openStreamedModel(
  name: string,
  { pre, name: given, mtp, lora, ...connection }: ModelOptions = {},
): Promise<StreamedModel> {
  if (!/^hf:/i.test(name)) {
    throw MqError.of('OPTION_INVALID', { option: 'stream', value: name, problem: 'only hf:NAMESPACE/NAME comes from a hub' })
  }
  const { openStreamedCheckpoint } = await import('./remote-model.js')
  const opened = await openStreamedCheckpoint(name, connection)
  const blueprint = await blueprintOfCheckpoint(opened.folder, { pre, name: given, mtp, lora })
  return {
    blueprint,
    shardsIn(directory) {
      const { shards, files } = opened.shardsIn(blueprint.files, directory)
      return { blueprint: { ...blueprint, files, contents: shards.contents }, shards }
    },
  }
}

/** Whether a name means a model that is not on this machine: `hf:NS/NAME`, or an http address. */
function isRemoteModel(name: string): boolean {
  return /^(?:hf:|https?:\/\/)/i.test(name)
}
