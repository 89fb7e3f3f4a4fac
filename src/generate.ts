import { type Generated, type GenerateOptions, type LoadOptions, loadModel } from './runner/index.js'

/**
 * Loads a GGUF file, generates text, and yields it piece by piece; the return value has counts and times.
 * @param path the GGUF file, or any shard of one.
 * @throws MqError MODEL_REJECTED, PROMPT_TOO_LONG, CHAT_TEMPLATE_INVALID, LLAMA_MISSING, LLAMA_CRASHED, INTERRUPTED.
 */
export async function* generate(path: string, options: GenerateOptions & LoadOptions): AsyncGenerator<string, Generated, void> {
  await using model = await loadModel(path, options)
  return yield* model.generate(options)
}
