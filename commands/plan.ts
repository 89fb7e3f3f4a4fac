import { Args, Flags } from '@oclif/core'
import {
  checkPictureName,
  checkTarget,
  type DryRun,
  dryRun,
  dryRunText,
  openModel,
  showPlan,
  writePicture,
  writePlan,
} from '../src/index.js'
import { MqCommand } from './base-command.js'
import { runOptions } from './shared/budget-flags.js'
import { goals, planFlags, planWith, readInputs, requestOf, withoutWeights } from './shared/plan-flags.js'
import { parseSize } from './shared/quantities.js'

export default class PlanCommand extends MqCommand {
  static override summary = 'Plan which tensor gets which type, and say why.'
  static override description = `Nothing is quantized: the plan says what would be written, to the byte.
With --bits the types are measured on samples of each tensor's rows, weighed by what the tensor is to the model, and chosen such that the damage is least; the whole is never above that many bits per weight. --preset chooses as llama-quantize does, --mixture as a data file says: samples/mixtures/README.md.
It also says what the model takes to run, where it goes with a GPU of --vram, and how long it takes to make. With hf: or an address only headers are read, and errors are typical ones.
The plan file can be read, edited and given to \`mq quantize --plan\`. It holds the reason for each type, as --json does.`
  static override examples = [
    '<%= config.bin %> plan samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> plan hf:deepseek-ai/DeepSeek-R1 --size 212GB --floor attention=Q4_K',
    '<%= config.bin %> plan my-model --fit 24GiB --ctx 16384 --vram 24GiB --picture plan.svg',
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
    vram: Flags.string({ description: 'Memory of a GPU, such as 24GiB: says what of the model to put there.' }),
    picture: Flags.string({ description: 'Draw layers by roles, coloured by their bits, into this file: .svg or .html.' }),
    output: Flags.string({ char: 'o', description: 'Write the plan to this file, as JSON.' }),
    force: Flags.boolean({ char: 'f', description: 'Replace files that are there already.' }),
  }

  override async run(): Promise<DryRun> {
    const { args, flags } = await this.parse(PlanCommand)
    const { output, force, picture, vram, threads } = flags
    const gpuBytes = vram === undefined ? undefined : parseSize(vram, 'vram', 'plan')
    if (picture !== undefined) checkPictureName(picture)
    const request = await requestOf(flags, 'plan')
    const { blueprint, hasWeights } = await openModel(args.path, {
      signal: this.signal,
      ...(flags.pre !== undefined && { pre: flags.pre }),
      ...(flags.endpoint !== undefined && { endpoint: flags.endpoint }),
    })
    if (output !== undefined) await checkTarget(output, blueprint.files, force)
    if (picture !== undefined) await checkTarget(picture, blueprint.files, force)
    await using read = await readInputs(flags, blueprint, 'plan')
    const inputs = hasWeights && flags.measure ? read : withoutWeights(read)
    const plan = await this.follow(planWith(blueprint, request, inputs, this.signal))
    const result = await dryRun(blueprint, plan, {
      run: runOptions(flags),
      ...(gpuBytes !== undefined && { gpuBytes }),
      ...(threads !== undefined && { threads }),
    })
    this.log(`${showPlan(plan)}\n\n${dryRunText(result, vram)}`)
    if (picture !== undefined) {
      const name = blueprint.metadata.get('general.name')?.value
      await writePicture(picture, result, typeof name === 'string' ? name : args.path)
      this.log(`Picture: ${picture}`)
    }
    if (output !== undefined) {
      await writePlan(output, plan, { force })
      const known = (['imatrix', 'calibration'] as const).flatMap((flag) =>
        flags[flag] === undefined ? [] : ` --${flag} ${flags[flag]}`,
      )
      this.log(`Next: mq quantize ${args.path} --plan ${output}${known.join('')}`)
    }
    return result
  }
}
