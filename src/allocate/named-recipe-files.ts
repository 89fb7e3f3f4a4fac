import { readdir, readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { MqError } from '../errors.js'
import { type NamedRecipe, parseNamedRecipe } from './named-recipe.js'

const maxBytes = 2 ** 20

/** Where the recipes that come with the package lie. */
const shipped = join(dirname(createRequire(import.meta.url).resolve('#package.json')), 'samples', 'recipes')

/**
 * Reads a recipe by the name of one in samples/recipes, such as `unsloth-q2_k_xl`, or by the path of a JSON file of that form.
 * @throws MqError RECIPE_UNKNOWN, RECIPE_INVALID; FILE_MISSING and the like.
 */
export async function readNamedRecipe(nameOrPath: string): Promise<NamedRecipe> {
  const isName = /^[\w.-]+$/.test(nameOrPath) && !nameOrPath.toLowerCase().endsWith('.json')
  if (!isName) return await readFileAt(nameOrPath)
  const known = await namedRecipes()
  const name = known.find((name) => name === nameOrPath.toLowerCase())
  if (name === undefined) throw MqError.of('RECIPE_UNKNOWN', { recipe: nameOrPath, known: known.join(', ') })
  return await readFileAt(join(shipped, `${name}.json`))
}

/** Names of the recipes that come with the package. */
export async function namedRecipes(): Promise<string[]> {
  const files = await readdir(shipped).catch(() => [])
  return files
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

async function readFileAt(path: string): Promise<NamedRecipe> {
  const invalid = (problem: string, cause?: unknown): MqError =>
    MqError.of('RECIPE_INVALID', { file: path, problem }, cause === undefined ? undefined : { cause })
  let json: unknown
  try {
    const { size } = await stat(path)
    if (size > maxBytes) throw invalid(`it has ${size} bytes, and a recipe has at most ${maxBytes}`)
    json = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid(`it is not JSON (${error.message})`, error)
    throw MqError.from(error, path)
  }
  const recipe = parseNamedRecipe(basename(path).replace(/\.json$/i, ''), json)
  if ('problem' in recipe) throw invalid(recipe.problem)
  return recipe
}
