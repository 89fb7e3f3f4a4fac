import { Args, Flags } from '@oclif/core'
import { gateError, reportPath, reportText, type VerifyReport, verify, writeReport } from '../src/verify/index.js'
import { MqCommand } from './base-command.js'

export default class Verify extends MqCommand {
  static override summary = 'Measure a quantized model against its reference, and hold it to a gate.'
  static override description =
    `Perplexity of both on the same tokens and its ratio, KL divergence, change of the tokens' probabilities and share of same top tokens, all as llama-perplexity --kl-divergence computes them.
The reference's logits can be kept for the next model, in llama-perplexity's own file: 2 bytes a scored token and entry of the vocabulary.
The report is written beside the model, where \`mq publish\` finds it. A gate that fails ends with exit status 5.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> model-2.51bpw.gguf --against samples/deepseek-kjv-moe --text samples/text/kjv-heldout.txt',
    '<%= config.bin %> <%= command.id %> model-Q4_K_M.gguf --against model-BF16.gguf --text heldout.txt --max-ppl-ratio 1.02 --max-kld 0.02',
    '<%= config.bin %> <%= command.id %> model-Q4_K_M.gguf --against model-BF16.gguf --text heldout.txt --save-logits base.logits',
    '<%= config.bin %> <%= command.id %> model-Q2_K.gguf --against-logits base.logits --text heldout.txt',
    '<%= config.bin %> <%= command.id %> ours.gguf --versus theirs.gguf --against-logits base.logits --text heldout.txt',
  ]

  static override args = {
    model: Args.string({ description: 'The GGUF file to prove.', required: true }),
  }

  static override flags = {
    against: Flags.string({
      description: 'Reference: a GGUF of higher precision, or the checkpoint folder.',
      exactlyOne: ['against', 'against-logits'],
    }),
    'against-logits': Flags.string({
      description: "The reference's logits on this text, as --save-logits or llama-perplexity --kl-divergence-base wrote them.",
      exclusive: ['save-logits', 'ctx'],
    }),
    'save-logits': Flags.string({ description: "Keep the reference's logits in this file." }),
    versus: Flags.string({ description: 'Another GGUF: which of the two is nearer to the reference, by how much, how surely.' }),
    text: Flags.string({ char: 'f', description: 'UTF-8 text to measure on.', required: true }),
    'max-ppl-ratio': Flags.string({
      description: 'Gate: the most that perplexity may grow, such as 1.05.',
      parse: parsePositive,
    }),
    'max-kld': Flags.string({
      description: 'Gate: the most that the mean KL divergence may be, such as 0.05.',
      parse: parsePositive,
    }),
    'min-same-top': Flags.string({
      description: 'Gate: the least share of positions with the same top token, such as 0.9 or 90%.',
      parse: parseShare,
    }),
    ctx: Flags.integer({ char: 'c', description: 'Tokens of a chunk. [default: 512]', min: 8 }),
    chunks: Flags.integer({ description: 'Measure on this many chunks at most.', min: 1 }),
    threads: Flags.integer({ char: 't', description: 'Threads; by default one for each core.', min: 1 }),
    'llama-dir': Flags.string({
      description: 'Folder of a llama.cpp of your own: its llama-perplexity measures the model, too.',
    }),
    report: Flags.string({ description: 'Where to write the report; by default MODEL.verify.json.' }),
  }

  async run(): Promise<VerifyReport> {
    const { args, flags } = await this.parse(Verify)
    const report = await this.follow(
      verify({
        model: args.model,
        text: flags.text,
        gates: {
          ...given('maxPerplexityRatio', numberOf(flags['max-ppl-ratio'])),
          ...given('maxKld', numberOf(flags['max-kld'])),
          ...given('minSameTop', numberOf(flags['min-same-top'])),
        },
        ...given('against', flags.against),
        ...given('againstLogits', flags['against-logits']),
        ...given('saveLogits', flags['save-logits']),
        ...given('versus', flags.versus),
        ...given('contextLength', flags.ctx),
        ...given('chunks', flags.chunks),
        ...given('threads', flags.threads),
        ...given('llamaDirectory', flags['llama-dir']),
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

/** A share as a number from 0 to 1. */
async function parseShare(input: string): Promise<string> {
  const [, figure, percent] = /^\s*([\d.]+)\s*(%?)\s*$/.exec(input) ?? []
  const share = Number(figure) / (percent === '%' ? 100 : 1)
  if (!(share > 0 && share <= 1)) throw new Error(`${input} is not a share such as 0.9 or 90%`)
  return String(share)
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text)
}

/** `{ name: value }`, and nothing where there is no value. */
function given<Name extends string, Value>(name: Name, value: Value | undefined): { [name in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [name in Name]?: Value }
}
