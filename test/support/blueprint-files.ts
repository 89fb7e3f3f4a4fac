import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import type { Codec } from '../../formats/ggml/codec.js'
import type { Blueprint } from '../../src/model/blueprint.js'
import { evaluateRows, type ReadRange, readRecipe, rowCount } from '../../src/recipe/index.js'

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

/** The values of a tensor, from its recipe as JSON; of recipes that need no codec. */
export async function valuesOf({ tensors, files: paths }: Blueprint, name: string): Promise<Float32Array> {
  const recipe = tensors.find((tensor) => tensor.name === name)?.recipe
  if (recipe === undefined) throw new Error(`no ${name}`)
  await using files = await openBlueprintFiles({ files: paths })
  return await evaluateRows(readRecipe(JSON.parse(JSON.stringify(recipe))), 0, rowCount(recipe), files.read, {} as Codec)
}
