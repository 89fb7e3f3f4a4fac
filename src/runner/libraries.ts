import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { MqError } from '../errors/index.js'
import { llamaVersion, llamaVersions, packageVersion } from './version.js'

/** A package of one platform with llama.cpp's libraries, which is installed. */
export interface LlamaBuild {
  /** Such as `@node-llama-cpp/linux-x64-cuda`. */
  readonly packageName: string
  readonly folder: string
  readonly version: string
  /** Files of ggml-base, ggml and llama, in the order in which they are loaded: each needs the ones before it. */
  readonly files: readonly [base: string, ggml: string, llama: string]
}

type Resolve = (name: string) => string

/** Names of platforms in the packages, and their variants, preferred first: those with a GPU are installed by the user. */
const variants: Readonly<Record<string, readonly string[]>> = {
  'linux-x64': ['linux-x64-cuda', 'linux-x64-vulkan', 'linux-x64'],
  'linux-arm64': ['linux-arm64'],
  'darwin-arm64': ['mac-arm64-metal'],
  'darwin-x64': ['mac-x64'],
  'win32-x64': ['win-x64-cuda', 'win-x64-vulkan', 'win-x64'],
  'win32-arm64': ['win-arm64'],
}

const packageScope = '@node-llama-cpp/'
const here = `${process.platform}-${process.arch}`

/** Packages with GPU support that could be installed on this platform. */
export const gpuPackages: readonly string[] = (variants[here] ?? []).filter((name) => /cuda|vulkan/.test(name)).map(packageOf)

/**
 * The folder with llama.cpp's libraries for this platform: of an installed package for GPUs, else of the plain one. `$MQ_LLAMA_BUILD`
 * names a variant, such as `vulkan`, or `cpu`.
 * @throws MqError LLAMA_MISSING, LLAMA_VERSION.
 */
export function findLibraries(resolve: Resolve = createRequire(import.meta.url).resolve): string {
  const names = variants[here] ?? []
  const wish = process.env['MQ_LLAMA_BUILD'] ?? ''
  const wished = names.filter((name) => wish === '' || (wish === 'cpu' ? !/cuda|vulkan/.test(name) : name.endsWith(`-${wish}`)))
  for (const name of wished) {
    const root = packageRoot(resolve, packageOf(name))
    if (root === undefined) continue
    const folder = join(root, 'bins', name)
    checkVersion(root, folder)
    return folder
  }
  const plain = wished.at(-1) ?? names.at(-1)
  const problem =
    plain === undefined
      ? `there is no build for the platform ${here}`
      : `the package ${packageOf(plain)} is not installed (npm install ${packageOf(plain)}@${packageVersion})`
  throw MqError.of('LLAMA_MISSING', { problem })
}

/** Lists the installed builds for this platform, preferred first. */
export function installedBuilds(resolve: Resolve = createRequire(import.meta.url).resolve): readonly LlamaBuild[] {
  return (variants[here] ?? []).flatMap((name) => {
    const root = packageRoot(resolve, packageOf(name))
    const found = root === undefined ? undefined : librariesIn(join(root, 'bins', name))
    return root === undefined || found === undefined
      ? []
      : [{ packageName: packageOf(name), folder: join(root, 'bins', name), ...found }]
  })
}

/** Finds the three libraries of a folder and their version; undefined where they are missing. */
export function librariesIn(folder: string): Pick<LlamaBuild, 'version' | 'files'> | undefined {
  if (!existsSync(folder)) return undefined
  const names = readdirSync(folder)
  const base = names.find((name) => /^(?:lib)?ggml-base\.(?:so|dylib|dll)$/.test(name))
  const versioned = (library: string): RegExpExecArray | undefined =>
    names
      .map((name) => new RegExp(String.raw`^(?:lib)?${library}(?:\.[a-z]+)?\.v(\d+\.\d+\.\d+)\.(?:so|dylib|dll)$`).exec(name))
      .find((match) => match !== null) ?? undefined
  const [ggml, llama] = [versioned('ggml'), versioned('llama')]
  if (base === undefined || ggml === undefined || llama?.[1] === undefined) return undefined
  return { version: llama[1], files: [base, ggml[0], llama[0]] }
}

function packageOf(name: string): string {
  return `${packageScope}${name}`
}

function packageRoot(resolve: Resolve, name: string): string | undefined {
  try {
    return dirname(dirname(resolve(name)))
  } catch {
    return undefined
  }
}

function checkVersion(root: string, folder: string): void {
  const found = librariesIn(folder)
  if (found !== undefined && isKnown(found.version)) return
  const expected = `${llamaVersion} (package version ${packageVersion})`
  throw MqError.of('LLAMA_VERSION', { found: foundVersion(root, folder), expected })
}

/** Returns whether the struct layouts of a version are known. */
export function isKnown(version: string): boolean {
  return llamaVersions.some((known) => version === known || version.startsWith(`${known}-`))
}

function foundVersion(root: string, folder: string): string {
  const library = existsSync(folder) ? readdirSync(folder).find((file) => /^(?:lib)?llama\./.test(file)) : undefined
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version?: string }
  return `${library ?? 'missing'} (package version ${version ?? 'unknown'})`
}
