import { readdir, readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { type Mixture, parseMixture } from './mixture.js'

const maxBytes = 2 ** 20

/** Where the mixtures that come with the package lie. */
const shipped = join(dirname(createRequire(import.meta.url).resolve('#package.json')), 'samples', 'mixtures')

/**
 * Reads a mixture by the name of one in samples/mixtures, such as `unsloth-q2_k_xl`, or by the path of a JSON file of that form.
 * @throws MqError MIXTURE_UNKNOWN, MIXTURE_INVALID; FILE_MISSING and the like.
 */
export async function readMixture(nameOrPath: string): Promise<Mixture> {
  const isName = /^[\w.-]+$/.test(nameOrPath) && !nameOrPath.toLowerCase().endsWith('.json')
  if (!isName) return await readFileAt(nameOrPath)
  const known = await knownMixtures()
  const name = known.find((name) => name === nameOrPath.toLowerCase())
  if (name === undefined) throw MqError.of('MIXTURE_UNKNOWN', { mixture: nameOrPath, known: known.join(', ') })
  return await readFileAt(join(shipped, `${name}.json`))
}

/** Names of the mixtures that come with the package. */
export async function knownMixtures(): Promise<string[]> {
  const files = await readdir(shipped).catch(() => [])
  return files
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

async function readFileAt(path: string): Promise<Mixture> {
  const invalid = (problem: string, cause?: unknown): MqError =>
    MqError.of('MIXTURE_INVALID', { file: path, problem }, cause === undefined ? undefined : { cause })
  let json: unknown
  try {
    const { size } = await stat(path)
    if (size > maxBytes) throw invalid(`it has ${size} bytes, more than the limit of ${maxBytes}`)
    json = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid(`it is not JSON (${error.message})`, error)
    throw MqError.from(error, path)
  }
  const mixture = parseMixture(basename(path).replace(/\.json$/i, ''), json)
  if ('problem' in mixture) throw invalid(mixture.problem)
  return mixture
}
