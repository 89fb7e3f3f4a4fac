import { Args, Flags } from '@oclif/core'
import { makeBlueprint } from '../src/convert/index.js'
import { encodingOf, makePlan, readRequest } from '../src/make-plan.js'
import { outputName, outputPath } from '../src/output-name.js'
import { parsePositive, parseSize } from '../src/quantities.js'
import { checkTarget, type QuantizeReport, quantize, reportOf, reportText, writePlan } from '../src/quantize/index.js'
import { MqCommand } from './base-command.js'

export default class Quantize extends MqCommand {
  static override summary = 'Quantize a checkpoint, or a GGUF file, to a number of bits per weight.'
  static override description = `One pass from the source to the finished file: no GGUF of higher precision is written on the way.
With --bits every tensor gets the type that does the least damage for its bytes, measured on samples of its rows, and the whole is never above that many bits per weight. --preset and --type do as llama-quantize does; --plan does what a plan file says.`
  static override examples = [
    '<%= config.bin %> quantize samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> quantize samples/llama-kjv --preset Q4_K_M -o llama-Q4_K_M.gguf',
    '<%= config.bin %> quantize my-model --bits 4.5 --tensor-type "token_embd=Q8_0" --save-plan plan.json --dry-run',
    '<%= config.bin %> quantize my-model --plan plan.json',
  ]

  static override args = {
    path: Args.string({ required: true, description: 'Folder of a checkpoint, or a .gguf file.' }),
  }

  static override flags = {
    bits: Flags.string({
      char: 'b',
      description: 'Bits per weight of the whole, never exceeded.',
      exactlyOne: ['bits', 'preset', 'plan', 'type'],
    }),
    preset: Flags.string({ char: 'p', description: 'A mixture of llama.cpp, such as Q4_K_M.' }),
    plan: Flags.string({ description: 'A plan file, as --save-plan or `mq plan` writes it.', exclusive: ['tensor-type'] }),
    type: Flags.string({ description: 'One type for all weights, such as Q4_K.' }),
    output: Flags.string({
      char: 'o',
      description: 'File to write, or a folder. [default: a name as llama.cpp gives, in the working folder]',
    }),
    'tensor-type': Flags.string({
      multiple: true,
      description: 'REGEX=TYPE: the type of tensors whose name the expression is found in; the first that matches holds.',
    }),
    threads: Flags.integer({ char: 't', min: 1, max: 1024, description: 'Worker threads. [default: one for each core]' }),
    memory: Flags.string({ description: 'What rows under way may hold in memory together, such as 2GB. [default: 512MiB]' }),
    'save-plan': Flags.string({ description: 'Write the plan to this file, too.' }),
    'dry-run': Flags.boolean({ description: 'Say what would be written, and write nothing but the plan.' }),
    pre: Flags.string({ description: "llama.cpp's name of the pre-tokenizer, where it is not recognised, such as llama-bpe." }),
    force: Flags.boolean({ char: 'f', description: 'Replace files that are there already.' }),
  }

  override async run(): Promise<QuantizeReport> {
    const { args, flags } = await this.parse(Quantize)
    const { force, preset, type, 'save-plan': savePlan, 'dry-run': dryRun } = flags
    const { signal } = this
    const threads = flags.threads === undefined ? {} : { threads: flags.threads }
    const memory = flags.memory === undefined ? {} : { memoryBytes: parseSize(flags.memory, 'memory', 'quantize') }
    const bits = flags.bits === undefined ? undefined : parsePositive(flags.bits, 'bits', 'quantize')
    const request = await readRequest({ bits, preset, type, plan: flags.plan, tensorTypes: flags['tensor-type'] })
    const blueprint = await makeBlueprint(args.path, flags.pre === undefined ? {} : { pre: flags.pre })
    const output = await outputPath(flags.output, outputName(blueprint.metadata, encodingOf(request)))
    // Before the plan, which may take its time.
    if (!dryRun) await checkTarget(output, blueprint.files, force)
    if (savePlan !== undefined) await checkTarget(savePlan, blueprint.files, force)

    const plan = await this.follow(makePlan(blueprint, request, { signal, ...threads }))
    if (savePlan !== undefined) await writePlan(savePlan, plan, { force })
    const result = dryRun
      ? undefined
      : await this.follow(quantize({ blueprint, plan, output, force, signal, ...threads, ...memory }))
    const report = reportOf(args.path, blueprint, plan, result)
    this.log(reportText(report))
    if (savePlan !== undefined) this.log(`Plan: ${savePlan}`)
    this.log(
      result === undefined
        ? `Next: the same without --dry-run writes ${output}`
        : `Next: mq verify ${output} --against ${args.path} --text TEXT.txt`,
    )
    return report
  }
}
