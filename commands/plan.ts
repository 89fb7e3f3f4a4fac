import { Args, Flags } from '@oclif/core'
import { showPlan } from '../src/allocate/index.js'
import { readModelHeaders } from '../src/open-model.js'
import type { Plan } from '../src/plan.js'
import { checkTarget, writePlan } from '../src/quantize/index.js'
import { MqCommand } from './base-command.js'
import { goals, planFlags, planWith, readInputs, requestOf, withoutWeights } from './shared/plan-flags.js'

export default class PlanCommand extends MqCommand {
  static override summary = 'Plan which tensor gets which type, and say why.'
  static override description = `Nothing is quantized: the plan says what would be written, to the byte.
With --bits the types are measured on samples of each tensor's rows, weighed by what the tensor is to the model, and chosen such that the damage is least; the whole is never above that many bits per weight. --preset chooses as llama-quantize does, --recipe as a data file says: samples/recipes/README.md.
The plan file can be read, edited and given to \`mq quantize --plan\`. It holds the reason for each type, as --json does.`
  static override examples = [
    '<%= config.bin %> plan samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> plan hf:deepseek-ai/DeepSeek-R1 --size 212GB --floor attention=Q4_K',
    '<%= config.bin %> plan samples/llama-kjv --preset Q4_K_M --tensor-type "ffn_down=Q6_K" -o plan.json',
  ]

  static override args = {
    path: Args.string({
      required: true,
      description: 'Folder of a checkpoint, or a .gguf file; hf:NAMESPACE/NAME[:TAG], or an address, to read headers alone.',
    }),
  }

  static override flags = {
    ...planFlags,
    bits: { ...planFlags.bits, exactlyOne: [...goals] },
    measure: Flags.boolean({
      allowNo: true,
      default: true,
      description: 'Measure errors on the weights; without, they are typical ones of the types.',
    }),
    endpoint: Flags.string({ description: 'Where hf: names are looked up. [default: $HF_ENDPOINT or https://huggingface.co]' }),
    output: Flags.string({ char: 'o', description: 'Write the plan to this file, as JSON.' }),
    force: Flags.boolean({ char: 'f', description: 'Replace a plan file that is there already.' }),
  }

  override async run(): Promise<Plan> {
    const { args, flags } = await this.parse(PlanCommand)
    const { output, force } = flags
    const request = await requestOf(flags, 'plan')
    const { blueprint, hasWeights } = await readModelHeaders(args.path, {
      signal: this.signal,
      ...(flags.pre !== undefined && { pre: flags.pre }),
      ...(flags.endpoint !== undefined && { endpoint: flags.endpoint }),
    })
    if (output !== undefined) await checkTarget(output, blueprint.files, force)
    await using read = await readInputs(flags, blueprint, 'plan')
    const inputs = hasWeights && flags.measure ? read : withoutWeights(read)
    const plan = await this.follow(planWith(blueprint, request, inputs, this.signal))
    this.log(showPlan(plan))
    if (output !== undefined) {
      await writePlan(output, plan, { force })
      const known = (['imatrix', 'calibration'] as const).flatMap((flag) =>
        flags[flag] === undefined ? [] : ` --${flag} ${flags[flag]}`,
      )
      this.log(`Next: mq quantize ${args.path} --plan ${output}${known.join('')}`)
    }
    return plan
  }
}
