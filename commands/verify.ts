import { dirname, join } from 'node:path'
import { Args, Flags } from '@oclif/core'
import { checkTarget, writeWhole } from '../src/files/index.js'
import {
  figures,
  type Gate,
  gateError,
  parseGate,
  reportPath,
  type VerifyReport,
  verify,
  reportPage as verifyPage,
  reportText as verifyText,
  writeReport,
} from '../src/verify/index.js'
import { MqCommand } from './base-command.js'
import { loraFlag } from './shared/lora-flag.js'
import { parsePositive, parseShare } from './shared/quantities.js'

export default class Verify extends MqCommand {
  static override summary = 'Measure perplexity and KL divergence of a quantized model against its reference, and check gates.'
  static override description =
    `Computes the perplexity of both models and its ratio, KL divergence, change of token probabilities and top-token agreement, all as llama-perplexity --kl-divergence does.
The reference's logits can be saved and reused, in llama-perplexity's file format: 2 bytes for each scored token and vocabulary entry. To measure several files use \`mq compare\`.
A JSON report is written next to the model, where \`mq publish\` finds it; --report FILE.html writes a page with plots.
A gate fails if the figure is beyond its limit. With --confidence the figure must be within its limit with this probability (one-sided): 95% requires a margin of 1.64 standard errors. A failed gate ends with exit status 5.
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
    model: Args.string({
      description: 'GGUF file to measure, any shard of a split model, or hf:NAMESPACE/NAME:TAG.',
      required: true,
    }),
  }

  static override flags = {
    against: Flags.string({
      helpValue: 'PATH',
      description: 'Reference model: a GGUF file in high precision, or the checkpoint folder. Either this or --against-logits.',
      exactlyOne: ['against', 'against-logits'],
    }),
    lora: loraFlag('the checkpoint of --against'),
    'against-logits': Flags.string({
      helpValue: 'FILE',
      description:
        'Logits of the reference on this text, from --save-logits or llama-perplexity --kl-divergence-base; they set the chunk length. Either this or --against.',
      exclusive: ['save-logits', 'ctx'],
    }),
    'save-logits': Flags.string({
      helpValue: 'FILE',
      description: "Save the reference's logits to this file. [default: not kept]",
    }),
    versus: Flags.string({
      helpValue: 'FILE',
      description:
        'Second GGUF file, for a paired comparison: which of the two has the lower KL divergence, by how much, with which standard error. [default: none]',
    }),
    text: Flags.string({ char: 'f', helpValue: 'FILE', description: 'Held-out text to measure on, UTF-8.', required: true }),
    'max-ppl-ratio': Flags.string({
      helpValue: 'N',
      description:
        "Gate: maximum ratio of perplexities, model to reference, such as 1.05; short for --gate 'ppl-ratio<=1.05'. [default: none]",
    }),
    'max-kld': Flags.string({
      helpValue: 'N',
      description: "Gate: maximum mean KL divergence, in nats, such as 0.05; short for --gate 'kld<=0.05'. [default: none]",
    }),
    'min-same-top': Flags.string({
      helpValue: 'N',
      description:
        "Gate: minimum top-token agreement (share of positions with the same most likely token), such as 0.9 or 90%; short for --gate 'same-top>=90%'. [default: none]",
    }),
    gate: Flags.string({
      helpValue: 'FIGURE<=N',
      description:
        "Gate on any figure: its name, <= or >=, and a number, such as 'kld.q99<=0.5'. May be given several times. [default: none]",
      multiple: true,
      multipleNonGreedy: true,
    }),
    confidence: Flags.string({
      helpValue: 'P',
      description: 'Confidence with which gates must hold, one-sided, such as 95%. [default: none, standard errors are ignored]',
    }),
    ctx: Flags.integer({
      char: 'c',
      helpValue: 'N',
      description: 'Chunk length (context length), in tokens. [default: 512]',
      min: 8,
    }),
    chunks: Flags.integer({ helpValue: 'N', description: 'Maximum number of chunks. [default: the whole text]', min: 1 }),
    threads: Flags.integer({ char: 't', helpValue: 'N', description: 'Threads. [default: one for each core]', min: 1 }),
    'llama-dir': Flags.string({
      helpValue: 'DIR',
      description: 'Folder with llama.cpp programs: llama-perplexity from there measures the model as well. [default: none]',
    }),
    report: Flags.string({
      description:
        'Report file to write: an HTML page if the name ends in .html, else JSON. May be given for both. [default: MODEL.verify.json]',
      helpValue: 'FILE',
      multiple: true,
      multipleNonGreedy: true,
    }),
    force: Flags.boolean({ description: 'Overwrite an existing HTML page.' }),
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
    const [model, lora] = [await this.local(args.model), await this.localAdapters(flags.lora)]
    const [against, versus] = [
      flags.against && (await this.local(flags.against)),
      flags.versus && (await this.local(flags.versus)),
    ]
    const pages = (flags.report ?? []).filter(isPage)
    const paths = (flags.report ?? []).filter((path) => !isPage(path))
    const inputs = [model, flags.text, against, flags['against-logits'], versus].filter((path) => path !== undefined)
    for (const path of pages) await checkTarget(path, inputs, flags.force)
    const report = await this.follow(
      verify({
        model,
        text: flags.text,
        gates: [
          ...gateOf('ppl-ratio', 'most', parsed('max-ppl-ratio', parsePositive)),
          ...gateOf('kld.mean', 'most', parsed('max-kld', parsePositive)),
          ...gateOf('same-top', 'least', parsed('min-same-top', parseShare)),
          ...(flags.gate ?? []).map((gate) => parseGate(gate)),
        ],
        ...given('confidence', parsed('confidence', parseShare)),
        ...given('against', against),
        ...given('lora', lora),
        ...given('againstLogits', flags['against-logits']),
        ...given('saveLogits', flags['save-logits']),
        ...given('versus', versus),
        ...given('contextLength', flags.ctx),
        ...given('chunks', flags.chunks),
        ...given('threads', flags.threads),
        ...given('llamaDirectory', flags['llama-dir']),
        signal: this.signal,
      }),
    )
    // of a split model, beside the first shard, where `mq publish` looks
    if (paths.length === 0) paths.push(reportPath(join(dirname(model), report.files[0]?.name ?? '')))
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

/** A gate given by its short flag; none where the flag is absent. */
function gateOf(figure: string, bound: Gate['bound'], limit: number | undefined): Gate[] {
  return limit === undefined ? [] : [{ figure, bound, limit }]
}

/** `{ name: value }`, and nothing where there is no value. */
function given<Name extends string, Value>(name: Name, value: Value | undefined): { [name in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [name in Name]?: Value }
}
