import { Args, Flags } from '@oclif/core'
import { makeBlueprint } from '../src/convert/index.js'
import { readImportance } from '../src/importance.js'
import { encodingOf, makePlan, readRequest } from '../src/make-plan.js'
import { outputName, outputPath } from '../src/output-name.js'
import { parsePositive, parseSize } from '../src/quantities.js'
import {
  checkOutput,
  checkTarget,
  efforts,
  type QuantizeReport,
  quantize,
  reportOf,
  reportText,
  writePlan,
} from '../src/quantize/index.js'
import { MqCommand } from './base-command.js'

export default class Quantize extends MqCommand {
  static override summary = 'Quantize a checkpoint, or a GGUF file, to a number of bits per weight.'
  static override description = `One pass from the source to the finished file: no GGUF of higher precision is written on the way.
A run that was stopped, killed or out of disk space goes on where it was when the same command is given again.
With --bits every tensor gets the type that does the least damage for its bytes, measured on samples of its rows, and the whole is never above that many bits per weight. --preset and --type do as llama-quantize does; --plan does what a plan file says.`
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
    imatrix: Flags.string({ description: "Importance matrix of the model, in either of llama.cpp's forms." }),
    effort: Flags.option({
      options: efforts,
      default: 'default' as const,
      description: 'How hard the encoders search: `best` takes about three times as long and has a little less error.',
    })(),
    'split-max-size': Flags.string({
      description: 'Write shards of at most so much tensor data each, such as 5GB. [default: one file]',
    }),
    memory: Flags.string({
      description: 'What the process may hold in memory, such as 500MB; fewer threads where it is little. [default: no limit]',
    }),
    'save-plan': Flags.string({ description: 'Write the plan to this file, too.' }),
    'dry-run': Flags.boolean({ description: 'Say what would be written, and write nothing but the plan.' }),
    pre: Flags.string({ description: "llama.cpp's name of the pre-tokenizer, where it is not recognised, such as llama-bpe." }),
    force: Flags.boolean({ char: 'f', description: 'Replace files that are there already.' }),
    fresh: Flags.boolean({ description: 'Begin anew, and throw away what an earlier run has left.' }),
  }

  override async run(): Promise<QuantizeReport> {
    const { args, flags } = await this.parse(Quantize)
    const { force, fresh, preset, type, 'save-plan': savePlan, 'dry-run': dryRun } = flags
    const size = (flag: 'memory' | 'split-max-size'): number | undefined =>
      flags[flag] === undefined ? undefined : parseSize(flags[flag], flag, 'quantize')
    const [memoryBytes, splitMaxBytes] = [size('memory'), size('split-max-size')]
    const bits = flags.bits === undefined ? undefined : parsePositive(flags.bits, 'bits', 'quantize')
    const request = await readRequest({ bits, preset, type, plan: flags.plan, tensorTypes: flags['tensor-type'] })
    const blueprint = await makeBlueprint(args.path, flags.pre === undefined ? {} : { pre: flags.pre })
    const output = await outputPath(flags.output, outputName(blueprint.metadata, encodingOf(request)))
    // Before the plan, which may take its time. The names of shards follow from the plan.
    if (!dryRun) await checkOutput(output, blueprint.files, force || splitMaxBytes !== undefined)
    if (savePlan !== undefined) await checkTarget(savePlan, blueprint.files, force)

    const importance = flags.imatrix === undefined ? undefined : await readImportance(flags.imatrix, blueprint)
    const options = {
      signal: this.signal,
      ...(flags.threads !== undefined && { threads: flags.threads }),
      ...(memoryBytes !== undefined && { memoryBytes }),
      ...(importance !== undefined && { importance: importance.importance }),
    }
    const made = await this.follow(makePlan(blueprint, request, options))
    const plan = { ...made, notes: [...made.notes, ...(importance?.notes ?? [])] }
    if (savePlan !== undefined) await writePlan(savePlan, plan, { force })
    const work = {
      blueprint,
      plan,
      output,
      force,
      fresh,
      effort: flags.effort,
      ...options,
      ...(splitMaxBytes !== undefined && { splitMaxBytes }),
    }
    const result = dryRun ? undefined : await this.follow(quantize(work))
    const report = reportOf(args.path, blueprint, plan, result, splitMaxBytes)
    this.log(reportText(report))
    if (savePlan !== undefined) this.log(`Plan: ${savePlan}`)
    this.log(
      result === undefined
        ? `Next: the same without --dry-run writes ${output}`
        : `Next: mq verify ${result.path} --against ${args.path} --text TEXT.txt`,
    )
    return report
  }
}
