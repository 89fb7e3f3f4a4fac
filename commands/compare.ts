import { Args, Flags } from '@oclif/core'
import { checkTarget, writeWhole } from '../src/files/index.js'
import { type CompareReport, compareModels as compare, comparePage, compareText } from '../src/verify/index.js'
import { MqCommand } from './base-command.js'
import Verify from './verify.js'

export default class Compare extends MqCommand {
  static override summary = 'Compare quantized models against one reference: which are Pareto-optimal in size and KL divergence.'
  static override description =
    `Size, KL divergence, perplexity ratio and top-token agreement of each file, as \`mq verify\` computes them. A file is Pareto-optimal when no other file is as small or smaller and has a lower KL divergence; the others are dominated.
Measurements are cached (verify/ in $MQ_CACHE, else ~/.cache/mq) by the digests of model, reference and text: a second run measures only new files. The reference runs whenever a file is left to measure, unless --against-logits names its saved logits.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> quantized/ --against samples/llama-kjv --text samples/text/kjv-heldout.txt --report pareto.html',
    '<%= config.bin %> <%= command.id %> ours-2.51bpw.gguf theirs-IQ2_XXS.gguf --against model-BF16.gguf --text heldout.txt --save-logits base.logits',
    '<%= config.bin %> <%= command.id %> quantized/ --against-logits base.logits --text heldout.txt --json',
  ]

  static override strict = false
  static override args = {
    models: Args.string({ description: 'GGUF files, and folders that contain them.', required: true }),
  }

  static override flags = {
    against: Verify.flags.against,
    lora: Verify.flags.lora,
    'against-logits': Verify.flags['against-logits'],
    'save-logits': Verify.flags['save-logits'],
    text: Verify.flags.text,
    ctx: Verify.flags.ctx,
    chunks: Verify.flags.chunks,
    threads: Verify.flags.threads,
    report: Flags.string({
      helpValue: 'FILE',
      description: 'Write an HTML page with a table and plots to this file, such as pareto.html. [default: none]',
    }),
    fresh: Flags.boolean({ description: 'Ignore cached measurements and measure every file again.' }),
    force: Flags.boolean({ description: 'Overwrite an existing --report file.' }),
  }

  async run(): Promise<CompareReport> {
    const { argv, flags } = await this.parse(Compare)
    const models: string[] = []
    for (const model of argv) models.push(await this.local(String(model)))
    const lora = await this.localAdapters(flags.lora)
    const against = flags.against === undefined ? undefined : await this.local(flags.against)
    const { 'against-logits': againstLogits, 'save-logits': saveLogits, ctx, chunks, threads, report: path } = flags
    if (path !== undefined) await checkTarget(path, [flags.text], flags.force)
    const report = await this.follow(
      compare({
        models,
        text: flags.text,
        fresh: flags.fresh,
        against,
        ...(lora !== undefined && { lora }),
        againstLogits,
        saveLogits,
        contextLength: ctx,
        chunks,
        threads,
        signal: this.signal,
      }),
    )
    if (path !== undefined)
      await writeWhole(path, comparePage(report, { command: this.commandLine(), version: this.config.version }))
    this.log(compareText(report))
    if (path !== undefined) this.log(`Report: ${path}`)
    return report
  }
}
