import { addAbortSignal } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import { Args, Flags } from '@oclif/core'
import { MqError } from '../src/errors/index.js'
import { locateModel } from '../src/locate-model.js'
import { type Generated, type GenerateOptions, type LlamaModel, loadModel } from '../src/runner/index.js'
import { formatSeconds } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'

/** What `--json` prints. */
interface RunReport extends Generated {
  readonly model: string
  readonly text: string
  readonly tokensPerSecond: number
}

export default class Run extends MqCommand {
  static override summary = 'Generate text with a model.'
  static override description =
    `Loads a GGUF file, or pulls one by name from a registry, and streams the generated text to stdout.
The prompt is sent as a user message in the model's chat template, unless the model has none or --raw is given. Sampling parameters default to those recommended in the file, else to llama.cpp's.`
  static override examples = [
    "<%= config.bin %> run model-Q4_K_M.gguf 'Who was the first king of Israel?'",
    "<%= config.bin %> run kjv/llama:Q4_K_M --raw --temperature 0 'In the beginning'",
    'cat question.txt | <%= config.bin %> run model.gguf -n 200 --json',
  ]

  static override args = {
    model: Args.string({ required: true, description: 'A .gguf file, or NAMESPACE/NAME[:TAG] in a registry.' }),
    prompt: Args.string({ description: 'Prompt. [default: read from stdin]' }),
  }

  static override flags = {
    prompt: Flags.string({ char: 'p', helpValue: 'TEXT', description: 'Prompt, instead of the argument. [default: none]' }),
    raw: Flags.boolean({ description: 'Continue the prompt as it is, without the chat template.' }),
    'max-tokens': Flags.integer({
      char: 'n',
      min: 1,
      helpValue: 'N',
      description: 'Maximum number of tokens to generate. [default: until the model ends the text or the context is full]',
    }),
    temperature: Flags.string({
      helpValue: 'N',
      description: 'Sampling temperature, from 0 to 100; 0 is greedy decoding. [default: from the file, else 0.8]',
    }),
    'top-k': Flags.integer({
      min: 0,
      helpValue: 'N',
      description: 'Sample from the N most likely tokens; 0 for all. [default: from the file, else 40]',
    }),
    'top-p': Flags.string({
      helpValue: 'N',
      description:
        'Sample from the most likely tokens with this total probability, from 0 to 1. [default: from the file, else 0.95]',
    }),
    seed: Flags.integer({
      min: 0,
      max: 2 ** 32 - 2,
      helpValue: 'N',
      description: 'Seed of the sampler: the same seed gives the same text. [default: random]',
    }),
    ctx: Flags.integer({
      char: 'c',
      min: 8,
      helpValue: 'N',
      description: 'Context length, prompt and answer together, in tokens. [default: as trained, up to 4096]',
    }),
    threads: Flags.integer({ char: 't', min: 1, max: 512, helpValue: 'N', description: 'Threads. [default: one for each core]' }),
    endpoint: Flags.string({
      helpValue: 'URL',
      description:
        'Address of a registry. [default: $MQ_ENDPOINT, $HF_ENDPOINT, else the registry folder on this machine, else http://127.0.0.1:8484]',
      exclusive: ['registry'],
    }),
    registry: Flags.string({
      helpValue: 'DIR',
      description: 'Folder of a registry on this machine, read without a server. [default: none, see --endpoint]',
    }),
    mmap: Flags.boolean({ allowNo: true, default: true, description: 'Memory-map the file instead of reading it.' }),
  }

  override async run(): Promise<RunReport> {
    const { args, flags } = await this.parse(Run)
    const options: GenerateOptions = {
      prompt: await this.#prompt(args.prompt, flags.prompt),
      raw: flags.raw,
      maxTokens: flags['max-tokens'],
      temperature: flags.temperature === undefined ? undefined : numberOf('temperature', flags.temperature, 100),
      topK: flags['top-k'],
      topP: flags['top-p'] === undefined ? undefined : numberOf('top-p', flags['top-p'], 1),
      seed: flags.seed,
    }
    if (flags.ctx !== undefined && flags.ctx >= 2 ** 31) {
      const problem = `it is not below ${2 ** 31}`
      throw MqError.of('FLAG_INVALID', { flag: 'ctx', value: flags.ctx, problem, command: 'run' })
    }
    const { endpoint, registry } = flags
    const { path } = await this.follow(locateModel(args.model, { signal: this.signal, endpoint, registry }))
    await using model = await loadModel(path, {
      mmap: flags.mmap,
      signal: this.signal,
      contextLength: flags.ctx,
      threads: flags.threads,
    })
    const [text, generated] = await this.#write(model, options)
    const tokensPerSecond = generated.seconds > 0 ? generated.tokens / generated.seconds : 0
    if (!this.jsonEnabled()) process.stderr.write(`${statistics(generated, tokensPerSecond)}\n`)
    return { model: args.model, text, ...generated, tokensPerSecond }
  }

  async #prompt(argument: string | undefined, flag: string | undefined): Promise<string> {
    if (argument !== undefined && flag !== undefined) {
      throw MqError.of('FLAGS_CONFLICT', {
        problem: 'The prompt is given twice, as an argument and with --prompt',
        command: 'run',
      })
    }
    const given = argument ?? flag
    if (given !== undefined) return given
    if (process.stdin.isTTY) {
      throw MqError.of('USAGE', { problem: 'A prompt is needed: as an argument, with --prompt, or on stdin', command: 'run' })
    }
    // A pipe may stay open for ever.
    return (await readAll(addAbortSignal(this.signal, process.stdin))).replace(/\r?\n$/, '')
  }

  /** Streams the text to stdout as it comes, or gathers it for --json. */
  async #write(model: LlamaModel, options: GenerateOptions): Promise<[string, Generated]> {
    const pieces = model.generate(options)
    let text = ''
    try {
      for (;;) {
        const step = await pieces.next()
        if (step.done === true) return [text, step.value]
        text += step.value
        if (this.jsonEnabled()) continue
        process.stdout.write(step.value)
        // whoever read it, such as `head`, has enough
        if (!process.stdout.writable) this.exit(0)
      }
    } finally {
      await pieces.return(undefined as never)
      if (!this.jsonEnabled() && text !== '' && !text.endsWith('\n')) process.stdout.write('\n')
    }
  }
}

function statistics({ tokens, seconds, promptTokens, promptSeconds, stopped }: Generated, tokensPerSecond: number): string {
  const why = { end: '', stop: '', length: ', stopped at --max-tokens', context: ', stopped at the end of the context' }[stopped]
  const prompt = `prompt ${promptTokens} tokens in ${formatSeconds(promptSeconds)}`
  return `${prompt}; ${tokens} tokens in ${formatSeconds(seconds)}, ${tokensPerSecond.toFixed(1)} tokens/s${why}`
}

function numberOf(flag: string, input: string, max: number): number {
  const value = input.trim() === '' ? Number.NaN : Number(input)
  if (value >= 0 && value <= max) return value
  throw MqError.of('FLAG_INVALID', { flag, value: input, problem: `it is not a number from 0 to ${max}`, command: 'run' })
}
