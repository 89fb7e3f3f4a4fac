import { Args, Flags } from '@oclif/core'
import { efforts } from '../formats/ggml/effort.js'
import { MqError } from '../src/errors/index.js'
import { checkOutput, checkTarget } from '../src/files/index.js'
import { openStreamedModel, outputName, outputPath } from '../src/model/index.js'
import { checkPlanMemory, encodingOf, writePlan } from '../src/plan/index.js'
import {
  type ArrayPart,
  assembleParts,
  type QuantizeReport,
  quantize,
  quantizePart,
  reportOf as quantizeReport,
  reportText as quantizeText,
  type WrittenPart,
} from '../src/quantize/index.js'
import { formatBytes } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'
import { goals, planFlags, planWith, readInputs, requestOf } from './shared/plan-flags.js'
import { blueprintOf, sourceOptions, writeFlags, writeOptions } from './shared/work-flags.js'

/** Jobs of an array. */
const mostParts = 4096

export default class Quantize extends MqCommand {
  static override summary = 'Quantize a checkpoint or a GGUF file: to a budget, with a preset, or by a plan.'
  static override description =
    `Reads the source once and writes the quantized GGUF file; there is no intermediate file in high precision.
The types come from exactly one of: a budget (--bits, --size, --fit), --preset or --type as in llama-quantize, --mixture (a JSON file, samples/mixtures/README.md), or --plan. Under a budget, the quantization error of each candidate type is measured on sampled rows of each tensor, and bit allocation minimizes the estimated KL divergence.
With --calibration, codes are chosen with error feedback (GPTQ/LDLQ): \`mq imatrix PATH\` makes a calibration, and needs no text of yours. At the same size it leaves a third to a half of the KL divergence.
An interrupted run resumes when the same command is run again.
On many machines without a broker: --shard K/N in each, then --assemble N; the bytes are those of one run.
Errors in the summary are relative squared errors: over all weights of a tensor with up to a million, over one row in 16 of a larger one. --json lists them by tensor, with cosine similarity, maximum error, share of clipped weights and time.`
  static override examples = [
    '<%= config.bin %> quantize samples/deepseek-kjv-moe --bits 2.51',
    '<%= config.bin %> quantize samples/llama-kjv --preset Q4_K_M -o llama-Q4_K_M.gguf',
    '<%= config.bin %> quantize my-model --bits 4.5 --tensor-type "token_embd=Q8_0" --save-plan plan.json --dry-run',
    '<%= config.bin %> quantize my-model --plan plan.json',
    '<%= config.bin %> quantize my-model --preset Q4_K_M --imatrix imatrix.gguf --split-max-size 5GB',
    '<%= config.bin %> quantize my-model --plan plan.json -o out.gguf --shard "$SLURM_ARRAY_TASK_ID/64"',
    '<%= config.bin %> quantize my-model --plan plan.json -o out.gguf --assemble 64',
  ]

  static override args = {
    path: Args.string({ required: true, description: 'Checkpoint folder, a .gguf file, or hf:NAMESPACE/NAME.' }),
  }

  static override flags = {
    ...planFlags,
    ...writeFlags,
    bits: { ...planFlags.bits, exactlyOne: [...goals, 'plan'] },
    plan: Flags.string({
      helpValue: 'FILE',
      description: 'Plan file, as `mq plan -o` or --save-plan writes it; types may be edited. [default: none]',
      exclusive: ['tensor-type', 'floor', 'tie', 'candidate', 'widen', ...goals.filter((goal) => goal !== 'bits')],
    }),
    effort: Flags.option({
      helpValue: 'fast|default|best',
      options: efforts,
      default: 'default' as const,
      description: 'Search effort of the encoders: best takes about three times as long for a slightly smaller error.',
    })(),
    'save-plan': Flags.string({ helpValue: 'FILE', description: 'Also write the plan to this file, as JSON. [default: none]' }),
    stream: Flags.boolean({
      description:
        'Of hf:NAMESPACE/NAME: bring the weights shard by shard, with disk space for two, instead of all of them first. Not with a budget, which measures weights everywhere: make its plan with `mq plan` first.',
    }),
    shard: Flags.string({
      helpValue: 'K/N',
      description:
        'Write only the K-th of N parts of the output, as one task of an array of jobs. --assemble puts them together. [default: all of it]',
      exclusive: ['assemble', 'dry-run', 'save-plan', 'stream'],
    }),
    assemble: Flags.integer({
      min: 1,
      max: mostParts,
      helpValue: 'N',
      description: 'Put the output together from the N parts that --shard wrote with the same options. [default: none]',
      exclusive: ['dry-run', 'save-plan', 'stream'],
    }),
    'dry-run': Flags.boolean({ description: 'Show the result, but write nothing except the plan (--save-plan).' }),
  }

  override async run(): Promise<QuantizeReport | WrittenPart> {
    const { args, flags } = await this.parse(Quantize)
    const { effort, 'save-plan': savePlan, 'dry-run': dryRun } = flags
    const { signal } = this
    const part = flags.shard === undefined ? undefined : partOf(flags.shard)
    const write = writeOptions(flags, 'quantize')
    const { force, splitMaxBytes } = write
    const request = await requestOf(flags, 'quantize', { plan: flags.plan, splitMaxBytes })
    const own = { ...flags, lora: await this.localAdapters(flags.lora) }
    if (flags.stream && ['bits', 'size', 'fit'].includes(request.kind)) {
      const problem = `a budget measures weights of all shards, and --stream has two at a time: write a plan with \`mq plan ${args.path} --no-measure -o plan.json\`, and use --plan`
      throw MqError.of('FLAGS_CONFLICT', { problem, command: 'quantize' })
    }
    const streamed = flags.stream ? await openStreamedModel(args.path, { ...sourceOptions(own), signal }) : undefined
    const source = streamed?.blueprint ?? (await blueprintOf(await this.local(args.path), own))
    const name = outputName(source.metadata, encodingOf(request), { mtpOnly: flags['mtp-only'] })
    const output = await outputPath(flags.output, name)
    const { blueprint, shards } = streamed?.shardsIn(`${output}.stream`) ?? { blueprint: source, shards: undefined }
    // Before the plan, which may take its time. The names of shards follow from the plan.
    if (!dryRun) await checkOutput(output, blueprint.files, force || splitMaxBytes !== undefined)
    if (savePlan !== undefined) await checkTarget(savePlan, blueprint.files, force)

    await using inputs = await readInputs(flags, blueprint, 'quantize')
    checkPlanMemory(blueprint, request, inputs.options)
    const plan = await this.follow(planWith(blueprint, request, inputs, signal))
    if (savePlan !== undefined) await writePlan(savePlan, plan, { force })
    const work = { blueprint, plan, output, effort, signal, ...(shards !== undefined && { shards }), ...write, ...inputs.options }
    if (part !== undefined) {
      const written = await this.follow(quantizePart(work, part))
      const { path, known, sizeBytes } = written
      this.log(
        `Part ${part.number} of ${part.of}: ${path} (${formatBytes(sizeBytes)}${known ? ', made by an earlier run' : ''}).`,
      )
      this.log(`Next, when all parts are there: the same command with --assemble ${part.of} in place of --shard.`)
      return written
    }
    if (flags.assemble !== undefined) {
      const assembled = await this.follow(assembleParts(work, flags.assemble))
      const report = { ...quantizeReport(args.path, blueprint, plan, undefined, splitMaxBytes), ...assembled }
      this.log(quantizeText(report))
      return report
    }
    const result = dryRun ? undefined : await this.follow(quantize(work))
    const report = quantizeReport(args.path, blueprint, plan, result, splitMaxBytes)
    this.log(quantizeText(report))
    if (savePlan !== undefined) this.log(`Plan: ${savePlan}`)
    this.log(
      result === undefined
        ? `Next: ${this.commandLine('--dry-run')}`
        : `Next: mq verify ${this.quote(result.path)} --against ${this.quote(args.path)}${this.repeated('lora', flags.lora)} --text TEXT.txt`,
    )
    return report
  }
}

/** Reads `K/N`. @throws MqError FLAG_INVALID. */
function partOf(text: string): ArrayPart {
  const [, k = '', n = ''] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []
  const [number, of] = [Number(k), Number(n)]
  if (number >= 1 && number <= of && of <= mostParts) return { number, of }
  const problem = `it is not K/N with K from 1 to N, and N up to ${mostParts}`
  throw MqError.of('FLAG_INVALID', { flag: 'shard', value: text, problem, command: 'quantize' })
}
