import { Args, Flags } from '@oclif/core'
import { showPlan } from '../src/allocate/index.js'
import { makeBlueprint } from '../src/convert/index.js'
import { readImportance } from '../src/importance.js'
import { makePlan } from '../src/make-plan.js'
import type { Plan } from '../src/plan.js'
import { parsePositive } from '../src/quantities.js'
import { checkTarget, writePlan } from '../src/quantize/index.js'
import { MqCommand } from './base-command.js'

export default class PlanCommand extends MqCommand {
  static override summary = 'Plan which tensor gets which type, and say why.'
  static override description = `Nothing is quantized: the plan says what would be written, to the byte.
With --bits the types are measured on samples of each tensor's rows, weighed by what the tensor is to the model, and chosen such that the damage is least; the whole is never above that many bits per weight. --preset chooses as llama-quantize does.
The plan file can be read, edited and given to \`mq quantize --plan\`. It holds the reason for each type, as --json does.`
  static override examples = [
    '<%= config.bin %> plan samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> plan samples/llama-kjv --preset Q4_K_M --tensor-type "ffn_down=Q6_K" -o plan.json',
  ]

  static override args = {
    path: Args.string({ required: true, description: 'Folder of a checkpoint, or a .gguf file.' }),
  }

  static override flags = {
    bits: Flags.string({
      char: 'b',
      description: 'Bits per weight of the whole, never exceeded.',
      exactlyOne: ['bits', 'preset', 'type'],
    }),
    preset: Flags.string({ char: 'p', description: 'A mixture of llama.cpp, such as Q4_K_M.' }),
    type: Flags.string({ description: 'One type for all weights, such as Q4_K.' }),
    'tensor-type': Flags.string({
      multiple: true,
      description: 'REGEX=TYPE: the type of tensors whose name the expression is found in; the first that matches holds.',
    }),
    output: Flags.string({ char: 'o', description: 'Write the plan to this file, as JSON.' }),
    threads: Flags.integer({
      char: 't',
      min: 1,
      max: 1024,
      description: 'Worker threads to measure with. [default: one for each core]',
    }),
    imatrix: Flags.string({
      description: "Importance matrix of the model, in either of llama.cpp's forms: errors are measured with its weights.",
    }),
    pre: Flags.string({ description: "llama.cpp's name of the pre-tokenizer, where it is not recognised, such as llama-bpe." }),
    force: Flags.boolean({ char: 'f', description: 'Replace a plan file that is there already.' }),
  }

  override async run(): Promise<Plan> {
    const { args, flags } = await this.parse(PlanCommand)
    const { preset, type, output, force } = flags
    const bits = flags.bits === undefined ? undefined : parsePositive(flags.bits, 'bits', 'plan')
    const blueprint = await makeBlueprint(args.path, flags.pre === undefined ? {} : { pre: flags.pre })
    if (output !== undefined) await checkTarget(output, blueprint.files, force)
    const matrix = flags.imatrix === undefined ? undefined : await readImportance(flags.imatrix, blueprint)
    const options = {
      signal: this.signal,
      ...(flags.threads !== undefined && { threads: flags.threads }),
      ...(matrix !== undefined && { importance: matrix.importance }),
    }
    const request = { bits, preset, type, tensorTypes: flags['tensor-type'] }
    const made = await this.follow(makePlan(blueprint, request, options))
    const plan = { ...made, notes: [...made.notes, ...(matrix?.notes ?? [])] }
    this.log(showPlan(plan))
    if (output !== undefined) {
      await writePlan(output, plan, { force })
      const imatrix = flags.imatrix === undefined ? '' : ` --imatrix ${flags.imatrix}`
      this.log(`Next: mq quantize ${args.path} --plan ${output}${imatrix}`)
    }
    return plan
  }
}
