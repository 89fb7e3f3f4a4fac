import { dirname, join } from 'node:path'
import { Args, Flags } from '@oclif/core'
import {
  checkTarget,
  figures,
  type Gate,
  gateError,
  parseGate,
  reportPath,
  type VerifyReport,
  verify,
  verifyPage,
  verifyText,
  writeReport,
  writeWhole,
} from '../src/index.js'
import { MqCommand } from './base-command.js'
import { parsePositive, parseShare } from './shared/quantities.js'

export default class Verify extends MqCommand {
  static override summary = 'Measure a quantized model against its reference, and hold it to gates.'
  static override description =
    `Perplexity of both on the same tokens and its ratio, KL divergence, change of the tokens' probabilities and share of same top tokens, all as llama-perplexity --kl-divergence computes them.
The reference's logits can be kept for the next model, in llama-perplexity's own file: 2 bytes a scored token and entry of the vocabulary. Several files at once are measured by \`mq compare\`.
A report is written beside the model as JSON, where \`mq publish\` finds it; --report FILE.html makes a page of it, with plots.
A gate fails where the figure is beyond its limit, whatever its standard error. With --confidence it fails unless the figure is within the limit with this probability, one-sided: 95% asks for 1.64 standard errors of room. A gate that fails ends with exit status 5.
Figures for --gate: ${[...figures.keys()].join(', ')}. \`kld\` is short for kld.mean, \`dp\` for dp.mean; q99 is the 99 % quantile.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> model-2.51bpw.gguf --against samples/deepseek-kjv-moe --text samples/text/kjv-heldout.txt',
    '<%= config.bin %> <%= command.id %> model-Q4_K_M.gguf --against model-BF16.gguf --text heldout.txt --max-ppl-ratio 1.02 --max-kld 0.02 --confidence 95%',
    "<%= config.bin %> <%= command.id %> model-Q4_K_M.gguf --against model-BF16.gguf --text heldout.txt --gate 'kld.q99<=0.5' --gate 'dp.rms<=3%' --report proof.html",
    '<%= config.bin %> <%= command.id %> model-Q4_K_M.gguf --against model-BF16.gguf --text heldout.txt --save-logits base.logits',
    '<%= config.bin %> <%= command.id %> model-Q2_K.gguf --against-logits base.logits --text heldout.txt',
    "<%= config.bin %> <%= command.id %> ours.gguf --versus theirs.gguf --against-logits base.logits --text heldout.txt --gate 'versus.kld<=0'",
  ]

  static override args = {
    model: Args.string({ description: 'The GGUF file to prove; of a split model any shard.', required: true }),
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
      description: "Gate: the most that perplexity may grow, such as 1.05; short for --gate 'ppl-ratio<=1.05'.",
    }),
    'max-kld': Flags.string({
      description: "Gate: the most that the mean KL divergence may be, such as 0.05; short for --gate 'kld<=0.05'.",
    }),
    'min-same-top': Flags.string({
      description:
        "Gate: the least share of positions with the same top token, such as 0.9 or 90%; short for --gate 'same-top>=90%'.",
    }),
    gate: Flags.string({
      description: "Gate on any figure: its name, <= or >=, and a number, such as 'kld.q99<=0.5'. May be given several times.",
      multiple: true,
      multipleNonGreedy: true,
    }),
    confidence: Flags.string({
      description: 'Gates must hold with this probability, one-sided, such as 95%.',
    }),
    ctx: Flags.integer({ char: 'c', description: 'Tokens of a chunk. [default: 512]', min: 8 }),
    chunks: Flags.integer({ description: 'Measure on this many chunks at most.', min: 1 }),
    threads: Flags.integer({ char: 't', description: 'Threads; by default one for each core.', min: 1 }),
    'llama-dir': Flags.string({
      description: 'Folder of a llama.cpp of your own: its llama-perplexity measures the model, too.',
    }),
    report: Flags.string({
      description:
        'Where to write the report: a page if the name ends in .html, else JSON. May be given for both. [default: MODEL.verify.json]',
      multiple: true,
      multipleNonGreedy: true,
    }),
    force: Flags.boolean({ description: 'Replace a page that is there already.' }),
  }

  async run(): Promise<VerifyReport> {
    const { args, flags } = await this.parse(Verify)
    const parsed = (
      flag: 'max-ppl-ratio' | 'max-kld' | 'min-same-top' | 'confidence',
      parse: typeof parseShare,
    ): number | undefined => {
      const value = flags[flag]
      return value === undefined ? undefined : parse(value, flag, 'verify')
    }
    const pages = (flags.report ?? []).filter(isPage)
    const paths = (flags.report ?? []).filter((path) => !isPage(path))
    const inputs = [args.model, flags.text, flags.against, flags['against-logits'], flags.versus].filter(
      (path) => path !== undefined,
    )
    for (const path of pages) await checkTarget(path, inputs, flags.force)
    const report = await this.follow(
      verify({
        model: args.model,
        text: flags.text,
        gates: [
          ...gateOf('ppl-ratio', 'most', parsed('max-ppl-ratio', parsePositive)),
          ...gateOf('kld.mean', 'most', parsed('max-kld', parsePositive)),
          ...gateOf('same-top', 'least', parsed('min-same-top', parseShare)),
          ...(flags.gate ?? []).map((gate) => parseGate(gate, 'verify')),
        ],
        ...given('confidence', parsed('confidence', parseShare)),
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
    // of a split model, beside the first shard, where `mq publish` looks
    if (paths.length === 0) paths.push(reportPath(join(dirname(args.model), report.files[0]?.name ?? '')))
    for (const path of paths) await writeReport(path, report)
    const page = pages.length === 0 ? '' : verifyPage(report, { command: this.commandLine(), version: this.config.version })
    for (const path of pages) await writeWhole(path, page)
    this.log(verifyText(report))
    this.log(`Report: ${[...paths, ...pages].join(', ')}`)
    const failed = gateError(report)
    if (failed !== undefined) this.fail(failed)
    return report
  }
}

function isPage(path: string): boolean {
  return /\.html?$/i.test(path)
}

/** The short form of a gate. */
function gateOf(figure: string, bound: Gate['bound'], limit: number | undefined): Gate[] {
  return limit === undefined ? [] : [{ figure, bound, limit }]
}

/** `{ name: value }`, and nothing where there is no value. */
function given<Name extends string, Value>(name: Name, value: Value | undefined): { [name in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [name in Name]?: Value }
}
