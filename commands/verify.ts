import { Args, Flags } from '@oclif/core'
import { gateError, reportPath, reportText, type VerifyReport, verify, writeReport } from '../src/verify/index.js'
import { MqCommand } from './base-command.js'

export default class Verify extends MqCommand {
  static override summary = 'Measure a quantized model against its reference, and hold it to a gate.'
  static override description =
    `Perplexity as llama-perplexity computes it, of both, on the same tokens; their ratio with the standard error of the paired tokens.
The report is written beside the model, where \`mq publish\` finds it. A gate that fails ends with exit status 5.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> model-2.51bpw.gguf --against samples/deepseek-kjv-moe --text samples/text/kjv-heldout.txt',
    '<%= config.bin %> <%= command.id %> model-Q4_K_M.gguf --against model-BF16.gguf --text heldout.txt --max-ppl-ratio 1.02',
  ]

  static override args = {
    model: Args.string({ description: 'The GGUF file to prove.', required: true }),
  }

  static override flags = {
    against: Flags.string({ description: 'Reference: a GGUF of higher precision, or the checkpoint folder.', required: true }),
    text: Flags.string({ char: 'f', description: 'UTF-8 text to measure on.', required: true }),
    'max-ppl-ratio': Flags.string({
      description: 'Gate: the most that perplexity may grow, such as 1.05.',
      parse: parsePositive,
    }),
    ctx: Flags.integer({ char: 'c', description: 'Tokens of a chunk.', default: 512, min: 8 }),
    chunks: Flags.integer({ description: 'Measure on this many chunks at most.', min: 1 }),
    threads: Flags.integer({ char: 't', description: 'Threads; by default one for each core.', min: 1 }),
    report: Flags.string({ description: 'Where to write the report; by default MODEL.verify.json.' }),
  }

  async run(): Promise<VerifyReport> {
    const { args, flags } = await this.parse(Verify)
    const limit = flags['max-ppl-ratio']
    const report = await this.follow(
      verify({
        model: args.model,
        against: flags.against,
        text: flags.text,
        contextLength: flags.ctx,
        ...(flags.chunks === undefined ? {} : { chunks: flags.chunks }),
        ...(flags.threads === undefined ? {} : { threads: flags.threads }),
        ...(limit === undefined ? {} : { gates: { maxPerplexityRatio: Number(limit) } }),
        signal: this.signal,
      }),
    )
    const path = flags.report ?? reportPath(args.model)
    await writeReport(path, report)
    this.log(reportText(report))
    this.log(`Report: ${path}`)
    const failed = gateError(report)
    if (failed !== undefined) this.fail(failed)
    return report
  }
}

async function parsePositive(input: string): Promise<string> {
  if (!(Number(input) > 0)) throw new Error(`${input} is not a number above 0`)
  return input
}
