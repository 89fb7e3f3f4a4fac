import type { ConnectOptions } from './hub/index.js'
import { type Inspection, inspectModel } from './model/inspect/index.js'

/**
 * Reads the headers of a model, and none of its weights.
 * @param path a .gguf file, any shard of a split one, a .safetensors file, the folder of a checkpoint, or `hf:NS/NAME[:TAG][@REVISION]`.
 * @throws MqError as inspectModel and openRemoteModel.
 */
export async function inspect(path: string, options: ConnectOptions = {}): Promise<Inspection> {
  if (!/^hf:/i.test(path)) return await inspectModel(path)
  // Loaded only when it is needed: headers of files need nothing of it.
  const { remoteModel } = await import('./model/index.js')
  return await inspectModel(await remoteModel(path, options))
}
