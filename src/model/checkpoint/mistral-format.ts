import { readJsonFile } from './files.js'
import type { CheckpointFolder } from './folder.js'

/** What `architectures` names for models in Mistral's own form: no name of transformers, whose config.json they lack. */
export const mistralFormat = 'MistralParams'

/** The name of the file that a checkpoint's configuration stands in. */
export function configFileName({ architectures }: Readonly<Record<string, unknown>>): string {
  return Array.isArray(architectures) && architectures[0] === mistralFormat ? 'params.json' : 'config.json'
}

/**
 * config.json; in its place params.json where Mistral published a model in its own form alone: consolidated.safetensors, tekken.json.
 * @returns undefined where there is neither.
 * @throws MqError CONFIG_INVALID.
 */
export async function readModelConfig(folder: CheckpointFolder): Promise<Readonly<Record<string, unknown>> | undefined> {
  const config = await readJsonFile(folder, 'config.json')
  if (config?.['architectures'] !== undefined) return config
  const params = await readJsonFile(folder, 'params.json')
  if (typeof params?.['dim'] !== 'number') return config
  const { quantization } = params
  const isQuantized = typeof quantization === 'object' && quantization !== null
  return {
    ...params,
    architectures: [mistralFormat],
    ...(isQuantized && { quantization_config: { quant_method: 'mistral', ...quantization } }),
  }
}
