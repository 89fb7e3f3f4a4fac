import { Args, Flags } from '@oclif/core'
import { calibrate } from '../src/calibrate.js'
import { type ImatrixReport, imatrixText } from '../src/calibration/index.js'
import { MqError } from '../src/errors/index.js'
import { outputPath } from '../src/model/index.js'
import { MqCommand } from './base-command.js'
import { loraFlag } from './shared/lora-flag.js'
import { parseSize } from './shared/quantities.js'

export default class Imatrix extends MqCommand {
  static override summary = 'Calibrate: compute the importance matrix and input covariances of a model on a text.'
  static override description =
    `Runs the model over the text with the embedded llama.cpp and collects activation statistics of every weight matrix, separately for each expert. The importance matrix (mean squared activation of each input column) equals llama-imatrix's and has the same GGUF format. The file also holds input covariances, for error feedback (GPTQ/LDLQ) with \`mq quantize --calibration\`: in full up to 1024 columns, as a low-rank sketch above. Every eighth batch of chunks is held out of the covariances and sampled, to choose the damping. llama.cpp ignores these extra tensors.
Use the model in high precision, and text like that which it will process; without any, the text of the package is far better than no calibration. 1-bit and 2-bit types depend most on calibration.`
  static override examples = [
    '<%= config.bin %> <%= command.id %> samples/llama-kjv --text samples/text/kjv-calibration.txt -o imatrix.gguf',
    '<%= config.bin %> <%= command.id %> my-model -o imatrix.gguf',
    '<%= config.bin %> <%= command.id %> model-BF16.gguf --text calibration.txt --chunks 200 --process-output',
  ]

  static override args = {
    model: Args.string({
      description: 'GGUF file in high precision, the checkpoint folder, or hf:NAMESPACE/NAME.',
      required: true,
    }),
  }

  static override flags = {
    text: Flags.string({
      char: 'f',
      helpValue: 'FILE',
      description:
        'Calibration text, UTF-8. [default: the one of the package, 20 kB of many kinds and languages, for which a model of 135 M parameters takes some two minutes on two cores]',
    }),
    lora: loraFlag(),
    output: Flags.string({
      char: 'o',
      helpValue: 'FILE',
      description: 'Calibration file to write (GGUF), or a folder.',
      default: 'imatrix.gguf',
    }),
    ctx: Flags.integer({
      char: 'c',
      helpValue: 'N',
      description: 'Chunk length (context length), in tokens.',
      default: 512,
      min: 16,
    }),
    chunks: Flags.integer({ helpValue: 'N', description: 'Maximum number of chunks. [default: the whole text]', min: 1 }),
    'process-output': Flags.boolean({ description: 'Collect statistics for output.weight, too.' }),
    rank: Flags.string({
      helpValue: 'N',
      description:
        'Rank of the low-rank sketch of input covariances, from 0 to 4096. auto: full covariance up to 1024 columns, rank 64 above; 0: no covariances, importance matrix only.',
      default: 'auto',
    }),
    memory: Flags.string({
      helpValue: 'SIZE',
      description: 'Limit for all covariances together, in memory and in the file, such as 4GiB; ranks are lowered to fit.',
      default: '1GiB',
    }),
    'llama-dir': Flags.string({
      helpValue: 'DIR',
      description:
        'Folder with llama.cpp programs: llama-imatrix from there computes the importance matrix, without covariances. [default: the embedded llama.cpp]',
    }),
    threads: Flags.integer({ char: 't', helpValue: 'N', description: 'Threads. [default: one for each core]', min: 1 }),
    force: Flags.boolean({ description: 'Overwrite an existing file.' }),
  }

  override async run(): Promise<ImatrixReport> {
    const { args, flags } = await this.parse(Imatrix)
    const [model, lora] = [await this.local(args.model), await this.localAdapters(flags.lora)]
    const report = await this.follow(
      calibrate({
        model,
        ...(lora !== undefined && { lora }),
        ...(flags.text !== undefined && { text: flags.text }),
        output: await outputPath(flags.output, 'imatrix.gguf'),
        contextLength: flags.ctx,
        processOutput: flags['process-output'],
        rank: parseRank(flags.rank, flags['llama-dir'] !== undefined),
        covarianceMemory: parseSize(flags.memory, 'memory', 'imatrix'),
        llamaDirectory: flags['llama-dir'],
        force: flags.force,
        chunks: flags.chunks,
        threads: flags.threads,
        signal: this.signal,
      }),
    )
    this.log(imatrixText(report))
    if (flags['llama-dir'] !== undefined)
      this.log('llama-imatrix computes no covariances: for error feedback, run without --llama-dir.')
    const flag = report.covariance.length > 0 ? 'calibration' : 'imatrix'
    this.log(
      `Next: mq quantize ${this.quote(args.model)}${this.repeated('lora', flags.lora)} --bits 2.51 --${flag} ${this.quote(report.output)}`,
    )
    return report
  }
}

function parseRank(text: string, external: boolean): number | 'auto' {
  if (external && text !== 'auto' && text !== '0') {
    throw MqError.of('FLAGS_CONFLICT', {
      problem: '--llama-dir runs llama-imatrix, which computes no covariances: only --rank 0 or auto goes with it',
      command: 'imatrix',
    })
  }
  if (text === 'auto') return text
  const rank = Number(text)
  if (text !== '' && Number.isInteger(rank) && rank >= 0 && rank <= 4096) return rank
  throw MqError.of('FLAG_INVALID', {
    flag: 'rank',
    value: text,
    problem: 'it is neither auto nor a whole number from 0 to 4096',
    command: 'imatrix',
  })
}
