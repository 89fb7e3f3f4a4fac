import { existsSync } from 'node:fs'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { MqError } from '../../errors/index.js'
import { writeWhole } from '../../files/index.js'
import type { WithProgress } from '../../progress/index.js'
import { parseModelName, repositoryOf } from '../store/index.js'
import type { Bundle } from './bundle.js'
import { type CopiedFiles, copyFiles, textOr } from './copy-files.js'
import { publishToHub } from './hub.js'
import { ollamaPlace, publishToOllama } from './ollama.js'

/** Target of a publication outside of the registry. */
export type Target =
  | { readonly kind: 'ollama' | 'lmstudio' | 'text-generation-webui' | 'llama-server' }
  | { readonly kind: 'hub'; readonly repository: string }
  | { readonly kind: 'folder'; readonly path: string }

const programs = ['ollama', 'lmstudio', 'text-generation-webui', 'llama-server'] as const

/**
 * Parses a target: a program's name, `hf:NAMESPACE/NAME`, or a folder, which contains a slash or exists.
 * @throws MqError OPTION_INVALID, NAME_INVALID.
 */
export function parseTarget(text: string): Target {
  const program = programs.find((name) => name === text)
  if (program !== undefined) return { kind: program }
  if (text.startsWith('hf:')) return { kind: 'hub', repository: repositoryOf(parseModelName(text.slice('hf:'.length))) }
  if (/[/\\.]/.test(text) || existsSync(text)) return { kind: 'folder', path: resolve(text) }
  const problem = `it is none of ${programs.join(', ')}, hf:NAMESPACE/NAME, or a folder, such as ./${text}`
  throw MqError.of('OPTION_INVALID', { option: 'to', value: text, problem })
}

/** Options for publishing to a target. */
export interface TargetOptions {
  /** The program's folder of models; by default its usual place. */
  readonly directory?: string | undefined
  readonly force?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Publishes a bundle. @throws MqError TARGET_MISSING, TARGET_REFUSED, and those of {@link copyFiles}. */
export async function* publishTo(target: Target, bundle: Bundle, options: TargetOptions = {}): WithProgress<CopiedFiles> {
  const { directory, force, signal } = options
  const { namespace, name, tag } = bundle.model
  const copyTo = (folder: string): WithProgress<CopiedFiles> =>
    copyFiles(bundle, folder, { signal, ...(force !== undefined && { force }) })
  switch (target.kind) {
    case 'folder':
      return yield* copyTo(target.path)
    case 'hub':
      return yield* publishToHub(bundle, target.repository, { signal })
    case 'ollama':
      return yield* publishToOllama(bundle, ollamaPlace(), { directory, signal })
    case 'lmstudio':
      return yield* copyTo(join(directory ?? (await lmStudioModels()), namespace, name))
    case 'text-generation-webui':
      return yield* copyTo(join(directory ?? (await webuiModels()), `${name}-${tag}`))
    case 'llama-server':
      return yield* copyForRouter(directory ?? process.env['LLAMA_ARG_MODELS_DIR'], bundle, copyTo)
  }
}

/** Returns `~/.lmstudio/models`, or the folder that ~/.lmstudio-home-pointer names. */
async function lmStudioModels(): Promise<string> {
  const pointed = (await readFile(join(homedir(), '.lmstudio-home-pointer'), 'utf8').catch(() => '')).trim()
  const home = pointed || join(homedir(), '.lmstudio')
  return existing('lmstudio', [home], (folder) => join(folder, 'models'))
}

/** Returns `user_data/models` of a checkout here or in the home folder; `models` in older ones. */
function webuiModels(): Promise<string> {
  const roots = ['.', 'text-generation-webui', join(homedir(), 'text-generation-webui')]
  const folders = roots.flatMap((root) => [join(root, 'user_data', 'models'), join(root, 'text-generation-webui', 'models')])
  return existing('text-generation-webui', [...folders, join(homedir(), 'text-generation-webui', 'models')], (folder) => folder)
}

async function existing(target: string, folders: readonly string[], pick: (folder: string) => string): Promise<string> {
  for (const folder of folders) if ((await stat(folder).catch(() => undefined))?.isDirectory() === true) return pick(folder)
  throw MqError.of('TARGET_MISSING', { target, problem: `there is no ${folders.join(', nor ')}` })
}

/**
 * Copies to llama-server's router: a folder (`--models-dir`) in which each folder is a model, or a file of presets (`--models-preset
 * FILE.ini`), whose section names the model beside it.
 */
async function* copyForRouter(
  directory: string | undefined,
  bundle: Bundle,
  copyTo: (folder: string) => WithProgress<CopiedFiles>,
): WithProgress<CopiedFiles> {
  const { model, files } = bundle
  if (directory === undefined) {
    const problem = 'its router has no usual folder; $LLAMA_ARG_MODELS_DIR is not set'
    throw MqError.of('TARGET_MISSING', { target: 'llama-server', problem })
  }
  const isPreset = directory.endsWith('.ini')
  const root = resolve(isPreset ? dirname(directory) : directory)
  const copied = yield* copyTo(join(root, `${model.name}-${model.tag}`))
  if (!isPreset) return copied
  await mkdir(root, { recursive: true })
  const before = await textOr(directory, 'version = 1\n')
  const section = `[${repositoryOf(model)}:${model.tag}]`
  const kept = withoutSection(before, section).trimEnd()
  const lines = `${kept}\n\n${section}\nmodel = ${join(copied.folder, files[0]?.name ?? '')}\n`
  await writeWhole(directory, lines.trimStart())
  return { folder: copied.folder, files: [...copied.files, resolve(directory)] }
}

function withoutSection(text: string, section: string): string {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.trim() === section)
  if (start < 0) return text
  const length = lines.slice(start + 1).findIndex((line) => line.trim().startsWith('['))
  return lines.toSpliced(start, length < 0 ? lines.length : length + 1).join('\n')
}
