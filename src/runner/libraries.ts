import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { MqError } from '../errors/index.js'
import { libraryFiles, llamaVersion, packageVersion } from './version.js'

/** Packages of one platform, preferred first: those with a GPU are installed by the user, the plain one comes with this program. */
const variants = ['-cuda-ext', '-cuda', '-vulkan', '']

/**
 * The folder with llama.cpp's libraries for this platform: of an installed package for GPUs, else of the plain one.
 * @throws MqError LLAMA_MISSING, LLAMA_VERSION.
 */
export function findLibraries(resolve: (name: string) => string = createRequire(import.meta.url).resolve): string {
  const platform = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux')
    throw MqError.of('LLAMA_MISSING', { problem: `the platform ${platform} is not supported yet` })
  for (const variant of variants) {
    const name = `${platform}${variant}`
    const root = packageRoot(resolve, `@node-llama-cpp/${name}`)
    if (root === undefined) continue
    const folder = join(root, 'bins', name)
    checkVersion(root, folder)
    return folder
  }
  throw MqError.of('LLAMA_MISSING', { problem: `the package @node-llama-cpp/${platform} is not installed` })
}

function packageRoot(resolve: (name: string) => string, name: string): string | undefined {
  try {
    return dirname(dirname(resolve(name)))
  } catch {
    return undefined
  }
}

function checkVersion(root: string, folder: string): void {
  if (libraryFiles.every((file) => existsSync(join(folder, file)))) return
  const expected = `${llamaVersion} (package version ${packageVersion})`
  throw MqError.of('LLAMA_VERSION', { found: foundVersion(root, folder), expected })
}

function foundVersion(root: string, folder: string): string {
  const library = existsSync(folder) ? readdirSync(folder).find((file) => file.startsWith('libllama.')) : undefined
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version?: string }
  return `${library ?? 'missing'} (package version ${version ?? 'unknown'})`
}
