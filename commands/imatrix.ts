import { Args, Flags } from '@oclif/core'
import { calibrate, type ImatrixReport, imatrixText, MqError, outputPath } from '../src/index.js'
import { MqCommand } from './base-command.js'
import { parseSize } from './shared/quantities.js'

export default class Imatrix extends MqCommand {
  static override summary = "Compute an importance matrix: how strong the inputs of a model's weights are on a text."
  static override description =
    `The model runs over the text with the embedded llama.cpp, which is watched at every multiplication: sums of squares of each column of the inputs, for each expert of its own, as llama-imatrix has them and in the same GGUF form. Beside them the file keeps what is needed of how the columns go together, once for weights that share an input, and rows of every eighth batch of chunks, which that leaves out: \`mq quantize --calibration\` chooses codes with it. llama.cpp passes these tensors over.
\`mq quantize --imatrix\` spends precision where it counts, and 1- and 2-bit types need it most. Use a model of high precision, and text like what it will read.`
  static override examples = [
    '<%= config.bin %> <%= command.id %> samples/llama-kjv --text samples/text/kjv-calibration.txt -o imatrix.gguf',
    '<%= config.bin %> <%= command.id %> model-BF16.gguf --text calibration.txt --chunks 200 --process-output',
  ]

  static override args = {
    model: Args.string({ description: 'A GGUF file of high precision, or the checkpoint folder.', required: true }),
  }

  static override flags = {
    text: Flags.string({ char: 'f', description: 'UTF-8 text to calibrate on.', required: true }),
    output: Flags.string({ char: 'o', description: 'File to write, or a folder.', default: 'imatrix.gguf' }),
    ctx: Flags.integer({ char: 'c', description: 'Tokens of a chunk.', default: 512, min: 16 }),
    chunks: Flags.integer({ description: 'Use this many chunks at most.', min: 1 }),
    'process-output': Flags.boolean({ description: 'Look at the inputs of output.weight, too.' }),
    rank: Flags.string({
      description: 'Directions to keep of how the columns of wide inputs go together, for error feedback; 0: importance alone.',
      default: 'auto',
    }),
    memory: Flags.string({
      description: 'What all sums for error feedback together may take of memory and of the file, such as 4GiB.',
      default: '1GiB',
    }),
    'llama-dir': Flags.string({
      description: 'Folder of a llama.cpp of your own: its llama-imatrix computes the importance, and --rank is 0.',
    }),
    threads: Flags.integer({ char: 't', description: 'Threads. [default: one for each core]', min: 1 }),
    force: Flags.boolean({ description: 'Replace a file that is there already.' }),
  }

  override async run(): Promise<ImatrixReport> {
    const { args, flags } = await this.parse(Imatrix)
    const report = await this.follow(
      calibrate({
        model: args.model,
        text: flags.text,
        output: await outputPath(flags.output, 'imatrix.gguf'),
        contextLength: flags.ctx,
        processOutput: flags['process-output'],
        rank: parseRank(flags.rank, flags['llama-dir'] !== undefined),
        covarianceMemory: parseSize(flags.memory, 'memory', 'imatrix'),
        ...(flags['llama-dir'] === undefined ? {} : { llamaDirectory: flags['llama-dir'] }),
        force: flags.force,
        ...(flags.chunks === undefined ? {} : { chunks: flags.chunks }),
        ...(flags.threads === undefined ? {} : { threads: flags.threads }),
        signal: this.signal,
      }),
    )
    this.log(imatrixText(report))
    if (flags['llama-dir'] !== undefined)
      this.log('llama-imatrix knows importance alone: for error feedback leave --llama-dir out.')
    const flag = report.covariance.length > 0 ? 'calibration' : 'imatrix'
    this.log(`Next: mq quantize ${args.model} --bits 2.51 --${flag} ${report.output}`)
    return report
  }
}

function parseRank(text: string, external: boolean): number | 'auto' {
  if (external && text !== 'auto' && text !== '0') {
    throw MqError.of('FLAGS_CONFLICT', { problem: 'llama-imatrix knows importance alone, --rank 0', command: 'imatrix' })
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
