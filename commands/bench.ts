import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Args, Flags } from '@oclif/core'
import { MqError } from '../src/errors/index.js'
import { checkTarget, writeWhole } from '../src/files/index.js'
import { loadWithOffload } from '../src/load-with-offload.js'
import { locateModel } from '../src/locate-model.js'
import { timeWithBench } from '../src/runner/index.js'
import { measureSpeeds, type SpeedReport, speedPage, speedText } from '../src/speed/index.js'
import { LlamaCommand } from './shared/llama-command.js'
import { llamaFlags, llamaOptionsOf } from './shared/llama-flags.js'

const isShard = /-(\d{5})-of-\d{5}\.gguf$/

export default class Bench extends LlamaCommand {
  static override summary = 'Measure tokens per second, of prompts and of generation.'
  static override description =
    `As llama-bench: random tokens on an empty context, after one run that is not counted; the mean and the standard deviation over the repetitions. All threads are used, whatever the size of the model.
With --against, the runs of each model alternate with those of another, and the ratio of neighbours is given with its standard error.
Of a folder it measures every .gguf file; KL divergences come from reports of \`mq verify\` that lie beside the files.`
  static override examples = [
    '<%= config.bin %> bench model-Q4_K_M.gguf',
    '<%= config.bin %> bench model-2.51bpw.gguf --against model-Q4_K_M.gguf -r 10',
    '<%= config.bin %> bench models/ --plot speed.html',
  ]

  static override strict = false

  static override args = {
    model: Args.string({
      required: true,
      description: 'A .gguf file, a folder of these, or NAMESPACE/NAME[:TAG] in a registry.',
    }),
  }

  static override flags = {
    'n-prompt': Flags.integer({
      default: 512,
      min: 0,
      max: 10_000_000,
      helpValue: 'N',
      description: 'Tokens of a prompt; 0 for none.',
    }),
    'n-gen': Flags.integer({
      default: 128,
      min: 0,
      max: 10_000_000,
      helpValue: 'N',
      description: 'Tokens to generate; 0 for none.',
    }),
    repetitions: Flags.integer({ char: 'r', default: 5, min: 1, max: 1000, helpValue: 'N', description: 'Runs of each test.' }),
    against: Flags.string({ helpValue: 'FILE', description: 'A .gguf file to compare with, run by run. [default: none]' }),
    plot: Flags.string({
      helpValue: 'FILE',
      description: 'Write an HTML page with plots of speed against size. [default: none]',
    }),
    ...llamaFlags,
    'llama-dir': Flags.string({
      helpValue: 'DIR',
      description: 'Folder of llama.cpp programs: llama-bench from there runs the models. [default: the embedded llama.cpp]',
    }),
  }

  override async run(): Promise<SpeedReport> {
    const { argv, flags } = await this.parse(Bench)
    const tests = [
      ...(flags['n-prompt'] > 0 ? [{ promptTokens: flags['n-prompt'], generatedTokens: 0 }] : []),
      ...(flags['n-gen'] > 0 ? [{ promptTokens: 0, generatedTokens: flags['n-gen'] }] : []),
    ]
    if (tests.length === 0) {
      throw MqError.of('USAGE', {
        problem: '--n-prompt and --n-gen are both 0, so there is nothing to measure',
        command: 'bench',
      })
    }
    const paths: string[] = []
    for (const name of argv as string[]) paths.push(...(await this.#pathsOf(name)))
    if (flags.plot !== undefined) await checkTarget(flags.plot, paths, true)
    const options = { ...llamaOptionsOf(flags, 'bench'), exactThreads: true, signal: this.signal }
    const directory = flags['llama-dir']
    const report = await this.follow(
      measureSpeeds(paths, {
        load: (path) => (directory === undefined ? loadWithOffload(path, options) : timeWithBench(path, directory, options)),
        tests,
        repetitions: flags.repetitions,
        against: flags.against,
      }),
    )
    if (flags.plot !== undefined) await writeWhole(flags.plot, speedPage(report))
    this.log(speedText(report))
    return report
  }

  async #pathsOf(name: string): Promise<string[]> {
    const isFolder = await stat(name).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (!isFolder) return [(await this.follow(locateModel(name, { signal: this.signal }))).path]
    const files = (await readdir(name)).filter(
      (file) => file.endsWith('.gguf') && (isShard.exec(file)?.[1] ?? '00001') === '00001',
    )
    if (files.length === 0) throw MqError.of('FILE_UNREADABLE', { path: name, problem: 'it has no .gguf file' })
    return files.toSorted().map((file) => join(name, file))
  }
}
