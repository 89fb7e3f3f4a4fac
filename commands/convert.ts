import { Args, Flags } from '@oclif/core'
import { blueprintOfAdapter, narrow, outputName, outputPath, widenedBy } from '../src/model/index.js'
import { planUniform } from '../src/plan/index.js'
import { type QuantizeReport, quantize, reportOf as quantizeReport, reportText as quantizeText } from '../src/quantize/index.js'
import { MqCommand } from './base-command.js'
import { widenFlag, widenOf } from './shared/widen-flag.js'
import { blueprintOf, workFlags, workOptions, writeFlags, writeOptions } from './shared/work-flags.js'

const types = { f32: 'F32', f16: 'F16', bf16: 'BF16', q8_0: 'Q8_0' } as const

export default class Convert extends MqCommand {
  static override summary = 'Convert a checkpoint to GGUF in one type: F32, F16, BF16 or Q8_0.'
  static override description =
    `Reads a checkpoint folder (config.json, *.safetensors, tokenizer files) or a GGUF file, and writes a GGUF file that llama.cpp loads.
The output is written as NAME.partial and renamed when it is complete. An interrupted run resumes when the same command is run again. For fewer bits use \`mq quantize\`, which reads checkpoints directly.`
  static override examples = [
    '<%= config.bin %> convert samples/llama-kjv',
    '<%= config.bin %> convert DeepSeek-R1 --type q8_0 -o /models/DeepSeek-R1-Q8_0.gguf',
    '<%= config.bin %> convert my-model --pre llama-bpe --threads 4',
  ]

  static override args = {
    path: Args.string({ required: true, description: 'Checkpoint folder, a .gguf file, or hf:NAMESPACE/NAME.' }),
  }

  static override flags = {
    type: Flags.option({
      options: [...Object.keys(types), 'auto'] as (keyof typeof types | 'auto')[],
      helpValue: 'f32|f16|bf16|q8_0|auto',
    })({
      description:
        'Type of the weight matrices; auto is the type that most weights of the source have. Norms, routers and biases stay f32. [default: auto]',
    }),
    widen: widenFlag('none', 'none|always|WIDTH=N'),
    narrow: Flags.boolean({
      description: 'Remove the zeros of a widened GGUF file again: restores the original widths.',
      exclusive: ['widen'],
    }),
    'lora-gguf': Flags.string({
      helpValue: 'DIR',
      description:
        'Convert this LoRA adapter of peft to a GGUF file of its own, for --lora of llama.cpp; of PATH, its base, only config.json is read. The type is then f32 unless --type says another. [default: none]',
      exclusive: ['lora', 'widen', 'narrow', 'no-mtp', 'mtp-only'],
    }),
    ...workFlags,
    ...writeFlags,
  }

  override async run(): Promise<QuantizeReport> {
    const { args, flags } = await this.parse(Convert)
    const options = { ...workOptions(flags, 'convert'), ...writeOptions(flags, 'convert'), signal: this.signal }
    const path = await this.local(args.path)
    const { 'lora-gguf': adapter, type: asked = adapter === undefined ? 'auto' : 'f32' } = flags
    const source =
      adapter === undefined
        ? await blueprintOf(path, { ...flags, lora: await this.localAdapters(flags.lora) })
        : await blueprintOfAdapter(path, await this.local(adapter))
    const blueprint = flags.narrow ? narrow(source) : widenedBy(source, widenOf(flags.widen, 'convert'))
    const type = asked === 'auto' ? blueprint.sourceType : types[asked]
    const plan = planUniform(blueprint, type)
    const output = await outputPath(flags.output, outputName(blueprint.metadata, type, { mtpOnly: flags['mtp-only'] }))
    const result = await this.follow(quantize({ blueprint, plan, output, ...options }))
    const report = quantizeReport(args.path, blueprint, plan, result)
    this.log(quantizeText(report))
    if (adapter === undefined)
      this.log(`Next: mq quantize ${this.quote(args.path)}${this.repeated('lora', flags.lora)} --bits 4.5`)
    return report
  }
}
