import { Args, Flags } from '@oclif/core'
import { outputName, outputPath, planUniform, type QuantizeReport, quantize, quantizeReport, quantizeText } from '../src/index.js'
import { MqCommand } from './base-command.js'
import { blueprintOf, workFlags, workOptions, writeFlags, writeOptions } from './shared/work-flags.js'

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
    ...workFlags,
    ...writeFlags,
  }

  override async run(): Promise<QuantizeReport> {
    const { args, flags } = await this.parse(Convert)
    const options = { ...workOptions(flags, 'convert'), ...writeOptions(flags, 'convert'), signal: this.signal }
    const blueprint = await blueprintOf(args.path, flags)
    const type = flags.type === 'auto' ? blueprint.sourceType : types[flags.type]
    const plan = planUniform(blueprint, type)
    const output = await outputPath(flags.output, outputName(blueprint.metadata, type))
    const result = await this.follow(quantize({ blueprint, plan, output, ...options }))
    const report = quantizeReport(args.path, blueprint, plan, result)
    this.log(quantizeText(report))
    this.log(`Next: mq quantize ${args.path} --bits 4.5`)
    return report
  }
}
