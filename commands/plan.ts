import { Args, Flags, type Interfaces } from '@oclif/core'
import { MqError } from '../src/errors/index.js'
import { checkTarget } from '../src/files/index.js'
import { readModelHeaders as openModel } from '../src/model/index.js'
import {
  checkPictureName,
  type DryRun,
  dryRun,
  dryRunText,
  type PlanChoices,
  planChoices,
  showPlan,
  writePicture,
  writePlan,
} from '../src/plan/index.js'
import { MqCommand } from './base-command.js'
import { runOptions } from './shared/budget-flags.js'
import { choicesText } from './shared/choices-text.js'
import { goals, planFlags, planWith, readInputs, requestOf, withoutWeights } from './shared/plan-flags.js'
import { parseSize } from './shared/quantities.js'
import { sourceOptions } from './shared/work-flags.js'

export default class PlanCommand extends MqCommand {
  static override summary = 'Plan the type of every tensor, with reasons, file size and memory to run.'
  static override description =
    `A dry run of \`mq quantize\`: nothing is quantized, and the plan gives the size of the output file to the byte.
The types come from exactly one of: a budget (--bits, --size, --fit), --preset or --type as in llama-quantize, or --mixture (a JSON file, samples/mixtures/README.md). Under a budget, the quantization error of each candidate type is measured on sampled rows of each tensor and weighted by the tensor's sensitivity; bit allocation minimizes the estimated KL divergence.
Also shown: memory to run the model, placement on a GPU with --vram, and the estimated time to quantize. Of a remote model (hf: or a URL) only headers are read; errors are then typical values for each type.
The plan file holds the reason for each type, can be edited, and is run with \`mq quantize --plan\`. \`mq plan --list\` shows all types, presets, mixtures and roles.`
  static override examples = [
    '<%= config.bin %> plan samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> plan hf:deepseek-ai/DeepSeek-R1 --size 212GB --floor attention=Q4_K',
    '<%= config.bin %> plan my-model --fit 24GiB --ctx 16384 --vram 24GiB --picture plan.svg',
    '<%= config.bin %> plan samples/llama-kjv --preset Q4_K_M --tensor-type "ffn_down=Q6_K" -o plan.json',
    '<%= config.bin %> plan --list',
  ]

  static override args = {
    path: Args.string({
      description: 'Checkpoint folder, or a .gguf file; hf:NAMESPACE/NAME[:TAG] or a URL to read headers only.',
    }),
  }

  static override flags = {
    ...planFlags,
    bits: { ...planFlags.bits, exactlyOne: [...goals, 'list'] },
    list: Flags.boolean({
      description: 'List the types, presets, mixtures and roles that a plan can use.',
      exclusive: goals.filter((goal) => goal !== 'bits'),
    }),
    measure: Flags.boolean({
      allowNo: true,
      default: true,
      description: 'Measure quantization errors on the weights; --no-measure uses typical errors of each type. [default: on]',
    }),
    endpoint: Flags.string({
      helpValue: 'URL',
      description: 'Hub or registry for hf: names. [default: $HF_ENDPOINT or https://huggingface.co]',
    }),
    vram: Flags.string({
      helpValue: 'SIZE',
      description: 'Memory of a GPU, such as 24GiB: shows which part of the model to offload. [default: none]',
    }),
    picture: Flags.string({
      helpValue: 'FILE',
      description: 'Draw bits per weight by layer and role into this file, .svg or .html. [default: none]',
    }),
    output: Flags.string({ char: 'o', helpValue: 'FILE', description: 'Write the plan to this file, as JSON. [default: none]' }),
    force: Flags.boolean({ description: 'Overwrite existing files.' }),
  }

  override async run(): Promise<DryRun | PlanChoices> {
    const { args, flags } = await this.parse(PlanCommand)
    if (flags.list) {
      const choices = await planChoices()
      this.log(choicesText(choices))
      return choices
    }
    if (args.path === undefined) throw MqError.of('USAGE', { problem: 'the argument PATH is missing', command: 'plan' })
    return await this.#plan(args.path, flags)
  }

  async #plan(path: string, flags: Interfaces.InferredFlags<typeof PlanCommand.flags>): Promise<DryRun> {
    const { output, force, picture, vram, threads } = flags
    const gpuBytes = vram === undefined ? undefined : parseSize(vram, 'vram', 'plan')
    if (picture !== undefined) checkPictureName(picture)
    const request = await requestOf(flags, 'plan')
    const { blueprint, hasWeights } = await openModel(path, {
      ...sourceOptions({ ...flags, lora: await this.localAdapters(flags.lora) }),
      signal: this.signal,
      endpoint: flags.endpoint,
    })
    if (output !== undefined) await checkTarget(output, blueprint.files, force)
    if (picture !== undefined) await checkTarget(picture, blueprint.files, force)
    await using read = await readInputs(flags, blueprint, 'plan')
    const inputs = hasWeights && flags.measure ? read : withoutWeights(read)
    const plan = await this.follow(planWith(blueprint, request, inputs, this.signal))
    const result = await dryRun(blueprint, plan, {
      run: runOptions(flags),
      gpuBytes,
      threads,
    })
    this.log(`${showPlan(plan)}\n\n${dryRunText(result, vram)}`)
    if (picture !== undefined) {
      const name = blueprint.metadata.get('general.name')?.value
      await writePicture(picture, result, typeof name === 'string' ? name : path)
      this.log(`Picture: ${picture}`)
    }
    if (output !== undefined) {
      await writePlan(output, plan, { force })
      const known = (['imatrix', 'calibration'] as const).flatMap((flag) =>
        flags[flag] === undefined ? [] : ` --${flag} ${this.quote(flags[flag])}`,
      )
      const quantize = (source: string): string =>
        `mq quantize ${source} --plan ${this.quote(output)}${this.repeated('lora', flags.lora)}${known.join('')}`
      if (hasWeights) this.log(`Next: ${quantize(this.quote(path))}`)
      else {
        const endpoint = flags.endpoint === undefined ? '' : ` --endpoint ${flags.endpoint}`
        if (/^hf:/i.test(path)) this.log(`Next: mq pull ${path.slice('hf:'.length)}${endpoint}`)
        this.log(`Once the model is on this machine: ${quantize('FOLDER')}`)
      }
    }
    return result
  }
}
