import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import type { Blueprint } from '../../src/model/blueprint.js'
import type { ReadRange } from '../../src/recipe/index.js'

/** Opens the files of a blueprint, for tests that evaluate its recipes. */
export async function openBlueprintFiles({
  files,
}: Pick<Blueprint, 'files'>): Promise<AsyncDisposable & { readonly read: ReadRange }> {
  const sources = await Promise.all(files.map(fileSource))
  return {
    read: async ({ file, start, end }) => (sources[file] as ByteSource).slice(start, end),
    async [Symbol.asyncDispose]() {
      await Promise.all(sources.map((source) => source.close()))
    },
  }
}
