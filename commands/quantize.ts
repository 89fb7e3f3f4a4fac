import { Args, Flags } from '@oclif/core'
import {
  checkOutput,
  checkTarget,
  efforts,
  encodingOf,
  outputName,
  outputPath,
  type QuantizeReport,
  quantize,
  quantizeReport,
  quantizeText,
  readPlan,
  writePlan,
} from '../src/index.js'
import { MqCommand } from './base-command.js'
import { goals, planFlags, planWith, readInputs, requestOf } from './shared/plan-flags.js'
import { blueprintOf, writeFlags, writeOptions } from './shared/work-flags.js'

export default class Quantize extends MqCommand {
  static override summary = 'Quantize a checkpoint, or a GGUF file, to a number of bits per weight.'
  static override description = `One pass from the source to the finished file: no GGUF of higher precision is written on the way.
A run that was stopped, killed or out of disk space goes on where it was when the same command is given again.
With --bits every tensor gets the type that does the least damage for its bytes, measured on samples of its rows, and the whole is never above that many bits per weight. --preset and --type do as llama-quantize does; --mixture does what a data file says (samples/mixtures/README.md), --plan what a plan file says.
Errors are those of all weights of tensors of up to a million, and of one row in sixteen of larger ones; --json has them tensor by tensor, with cosine, largest error, share clipped and time.`
  static override examples = [
    '<%= config.bin %> quantize samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> quantize samples/llama-kjv --preset Q4_K_M -o llama-Q4_K_M.gguf',
    '<%= config.bin %> quantize my-model --bits 4.5 --tensor-type "token_embd=Q8_0" --save-plan plan.json --dry-run',
    '<%= config.bin %> quantize my-model --plan plan.json',
    '<%= config.bin %> quantize my-model --preset Q4_K_M --imatrix imatrix.gguf --split-max-size 5GB',
  ]

  static override args = {
    path: Args.string({ required: true, description: 'Folder of a checkpoint, or a .gguf file.' }),
  }

  static override flags = {
    ...planFlags,
    ...writeFlags,
    bits: { ...planFlags.bits, exactlyOne: [...goals, 'plan'] },
    plan: Flags.string({
      description: 'A plan file, as --save-plan or `mq plan` writes it.',
      exclusive: ['tensor-type', 'floor', 'tie'],
    }),
    effort: Flags.option({
      options: efforts,
      default: 'default' as const,
      description: 'How hard the encoders search: `best` takes about three times as long and has a little less error.',
    })(),
    'save-plan': Flags.string({ description: 'Write the plan to this file, too.' }),
    'dry-run': Flags.boolean({ description: 'Say what would be written, and write nothing but the plan.' }),
  }

  override async run(): Promise<QuantizeReport> {
    const { args, flags } = await this.parse(Quantize)
    const { effort, 'save-plan': savePlan, 'dry-run': dryRun } = flags
    const { signal } = this
    const write = writeOptions(flags, 'quantize')
    const { force, splitMaxBytes } = write
    const asked = await requestOf(flags, 'quantize')
    const request = { ...asked, splitMaxBytes, plan: flags.plan === undefined ? undefined : await readPlan(flags.plan) }
    const blueprint = await blueprintOf(args.path, flags)
    const output = await outputPath(flags.output, outputName(blueprint.metadata, encodingOf(request)))
    // Before the plan, which may take its time. The names of shards follow from the plan.
    if (!dryRun) await checkOutput(output, blueprint.files, force || splitMaxBytes !== undefined)
    if (savePlan !== undefined) await checkTarget(savePlan, blueprint.files, force)

    await using inputs = await readInputs(flags, blueprint, 'quantize')
    const plan = await this.follow(planWith(blueprint, request, inputs, signal))
    if (savePlan !== undefined) await writePlan(savePlan, plan, { force })
    const work = { blueprint, plan, output, effort, signal, ...write, ...inputs.options }
    const result = dryRun ? undefined : await this.follow(quantize(work))
    const report = quantizeReport(args.path, blueprint, plan, result, splitMaxBytes)
    this.log(quantizeText(report))
    if (savePlan !== undefined) this.log(`Plan: ${savePlan}`)
    this.log(
      result === undefined
        ? `Next: the same without --dry-run writes ${output}`
        : `Next: mq verify ${result.path} --against ${args.path} --text TEXT.txt`,
    )
    return report
  }
}
