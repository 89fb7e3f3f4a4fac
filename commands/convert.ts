import { Args, Flags } from '@oclif/core'
import { makeBlueprint, planUniform } from '../src/convert/index.js'
import { outputName, outputPath } from '../src/output-name.js'
import { parseSize } from '../src/quantities.js'
import { type QuantizeReport, quantize, reportOf, reportText } from '../src/quantize/index.js'
import { MqCommand } from './base-command.js'

const types = { f32: 'F32', f16: 'F16', bf16: 'BF16', q8_0: 'Q8_0' } as const

export default class Convert extends MqCommand {
  static override summary = 'Convert a checkpoint to GGUF in one plain type.'
  static override description =
    `Reads a folder with config.json, *.safetensors and tokenizer.json, or a GGUF file, and writes a GGUF file that llama.cpp loads.
Weights go straight from the source to their place in the file; it has its name only when it is whole, and a run that was stopped goes on where it was when the same command is given again. For fewer bits see \`mq quantize\`, which reads checkpoints, too.`
  static override examples = [
    '<%= config.bin %> convert samples/llama-kjv',
    '<%= config.bin %> convert DeepSeek-R1 --type q8_0 -o /models/DeepSeek-R1-Q8_0.gguf',
    '<%= config.bin %> convert my-model --pre llama-bpe --threads 4',
  ]

  static override args = {
    path: Args.string({ required: true, description: 'Folder of a checkpoint, or a .gguf file.' }),
  }

  static override flags = {
    type: Flags.option({ options: [...Object.keys(types), 'auto'] as (keyof typeof types | 'auto')[] })({
      default: 'auto',
      description: 'Type of the weights; auto is what most of the checkpoint has. Norms, routers and vectors stay f32.',
    }),
    output: Flags.string({
      char: 'o',
      description: 'File to write, or a folder. [default: a name as llama.cpp gives, in the working folder]',
    }),
    threads: Flags.integer({ char: 't', min: 1, max: 1024, description: 'Worker threads. [default: one for each core]' }),
    pre: Flags.string({ description: "llama.cpp's name of the pre-tokenizer, where it is not recognised, such as llama-bpe." }),
    'split-max-size': Flags.string({
      description: 'Write shards of at most so much tensor data each, such as 5GB. [default: one file]',
    }),
    memory: Flags.string({
      description: 'What the process may hold in memory, such as 500MB; fewer threads where it is little. [default: no limit]',
    }),
    force: Flags.boolean({ char: 'f', description: 'Replace files that are there already.' }),
    fresh: Flags.boolean({ description: 'Begin anew, and throw away what an earlier run has left.' }),
  }

  override async run(): Promise<QuantizeReport> {
    const { args, flags } = await this.parse(Convert)
    const { force, fresh, threads, memory, 'split-max-size': splitMaxSize } = flags
    const sizes = {
      ...(memory !== undefined && { memoryBytes: parseSize(memory, 'memory', 'convert') }),
      ...(splitMaxSize !== undefined && { splitMaxBytes: parseSize(splitMaxSize, 'split-max-size', 'convert') }),
    }
    const blueprint = await makeBlueprint(args.path, flags.pre === undefined ? {} : { pre: flags.pre })
    const type = flags.type === 'auto' ? blueprint.sourceType : types[flags.type]
    const plan = planUniform(blueprint, type)
    const output = await outputPath(flags.output, outputName(blueprint.metadata, type))
    const result = await this.follow(
      quantize({
        blueprint,
        plan,
        output,
        force,
        fresh,
        signal: this.signal,
        ...sizes,
        ...(threads !== undefined && { threads }),
      }),
    )
    const report = reportOf(args.path, blueprint, plan, result)
    this.log(reportText(report))
    this.log(`Next: mq quantize ${args.path} --bits 4.5`)
    return report
  }
}
