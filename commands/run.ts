import { fstatSync } from 'node:fs'
import { addAbortSignal } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import { Args, Flags } from '@oclif/core'
import { chat } from '../src/chat/index.js'
import { largerThanMemory } from '../src/doctor/index.js'
import { MqError } from '../src/errors/index.js'
import { loadWithOffload } from '../src/load-with-offload.js'
import { locateModel } from '../src/locate-model.js'
import { type Generated, type GenerateOptions, loadWithServer, type TextModel } from '../src/runner/index.js'
import { formatSeconds } from '../src/terminal/index.js'
import { LlamaCommand } from './shared/llama-command.js'
import { llamaFlags, llamaOptionsOf } from './shared/llama-flags.js'
import { samplingFlags, samplingOf } from './shared/sampling-flags.js'

/** What `--json` prints. */
interface RunReport extends Generated {
  readonly model: string
  readonly text: string
  readonly tokensPerSecond: number
}

export default class Run extends LlamaCommand {
  static override summary = 'Chat with a model, or generate text.'
  static override description =
    `Loads a GGUF file, or pulls one by name from a registry. With a prompt, or text on stdin, it streams the answer to stdout and ends; both together are one prompt, the text after the prompt. Without, it is a chat: /help lists its commands, Ctrl-C stops an answer.
The prompt is sent as a user message in the model's chat template, unless the model has none or --raw is given. Sampling parameters default to those recommended in the file, else to llama.cpp's.`
  static override examples = [
    '<%= config.bin %> run model-Q4_K_M.gguf',
    "<%= config.bin %> run model-Q4_K_M.gguf 'Who was the first king of Israel?'",
    "<%= config.bin %> run kjv/llama:Q4_K_M --raw --temperature 0 'In the beginning'",
    "cat notes.txt | <%= config.bin %> run model.gguf 'Summarize this text.' -n 200 --json",
  ]

  static override args = {
    model: Args.string({ required: true, description: 'A .gguf file, or NAMESPACE/NAME[:TAG] in a registry.' }),
    prompt: Args.string({ description: 'Prompt. [default: read from stdin; a chat in a terminal]' }),
  }

  static override flags = {
    prompt: Flags.string({ char: 'p', helpValue: 'TEXT', description: 'Prompt, instead of the argument. [default: none]' }),
    'system-prompt': Flags.string({
      helpValue: 'TEXT',
      description: 'System prompt (-sys). [default: none]',
      exclusive: ['raw'],
    }),
    raw: Flags.boolean({ description: 'Continue the prompt as it is, without the chat template.' }),
    ...samplingFlags,
    stop: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'TEXT',
      description: 'End the text before this; can be given more than once. [default: none]',
    }),
    ctx: Flags.integer({
      char: 'c',
      min: 8,
      max: 2 ** 31 - 1,
      helpValue: 'N',
      description: 'Context length, prompt and answer together, in tokens. [default: as trained, up to 4096]',
    }),
    ...llamaFlags,
    'llama-dir': Flags.string({
      helpValue: 'DIR',
      description: 'Folder of llama.cpp programs: llama-server from there runs the model. [default: the embedded llama.cpp]',
    }),
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
  }

  override async run(): Promise<RunReport | undefined> {
    const { args, flags } = await this.parse(Run)
    const sampling: GenerateOptions = { ...samplingOf(flags, 'run'), stop: flags.stop?.filter((text) => text !== '') }
    const options = { ...llamaOptionsOf(flags, 'run'), signal: this.signal, contextLength: flags.ctx }
    const prompt = await this.#prompt(args.prompt, flags.prompt)
    const system = flags['system-prompt']
    const { endpoint, registry } = flags
    const { path } = await this.follow(
      locateModel(await this.local(args.model, flags.endpoint), { signal: this.signal, endpoint, registry }),
    )
    const warning = await largerThanMemory(path)
    if (warning !== undefined) process.stderr.write(`The model is larger than memory: ${warning}.\n`)
    const directory = flags['llama-dir']
    await using model: TextModel =
      directory === undefined
        ? await loadWithOffload(path, options, (note) => process.stderr.write(`Note: ${note}\n`))
        : await loadWithServer(path, directory, options)
    if (prompt === undefined) {
      await this.#chat(model, { ...sampling, system })
      return undefined
    }
    const messages = [...(system === undefined ? [] : [{ role: 'system', content: system }]), { role: 'user', content: prompt }]
    const asked = system === undefined ? { prompt, raw: flags.raw } : { messages }
    const [text, generated] = await this.#write(model, { ...sampling, ...asked })
    const tokensPerSecond = generated.seconds > 0 ? generated.tokens / generated.seconds : 0
    if (!this.jsonEnabled()) process.stderr.write(`${statistics(generated, tokensPerSecond)}\n`)
    return { model: args.model, text, ...generated, tokensPerSecond }
  }

  async #chat(
    model: TextModel,
    { maxTokens, stop, system, ...sampling }: GenerateOptions & { system?: string | undefined },
  ): Promise<void> {
    process.stderr.write(`${model.info.description}; /help lists the commands.\n`)
    await chat(model, {
      input: process.stdin,
      output: process.stdout,
      terminal: process.stdout.isTTY,
      system,
      sampling,
      maxTokens,
      stop,
      signal: this.signal,
      onInterrupt: (interrupt) => this.handleInterrupt(interrupt),
      onAnswer: (generated) =>
        process.stderr.write(`(${statistics(generated, generated.tokens / Math.max(generated.seconds, 1e-9))})\n`),
    })
  }

  /** The prompt with what is piped in; undefined for a chat. */
  async #prompt(argument: string | undefined, flag: string | undefined): Promise<string | undefined> {
    if (argument !== undefined && flag !== undefined) {
      throw MqError.of('FLAGS_CONFLICT', {
        problem: 'The prompt is given twice, as an argument and with --prompt',
        command: 'run',
      })
    }
    const given = argument ?? flag
    if (given !== undefined && !isPiped()) return given
    if (process.stdin.isTTY) {
      if (!this.jsonEnabled()) return undefined
      throw MqError.of('USAGE', { problem: 'A prompt is needed: as an argument, with --prompt, or on stdin', command: 'run' })
    }
    // A pipe may stay open for ever.
    const text = (await readAll(addAbortSignal(this.signal, process.stdin))).replace(/\r?\n$/, '')
    return given === undefined || text === '' ? (given ?? text) : `${given}\n\n${text}`
  }

  /** Streams the text to stdout as it comes, or gathers it for --json. */
  async #write(model: TextModel, options: GenerateOptions): Promise<[string, Generated]> {
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

/** Whether stdin is a pipe or a file: programs that start others without a word to say leave it a socket, a terminal or /dev/null. */
function isPiped(): boolean {
  try {
    const status = fstatSync(0)
    return status.isFIFO() || status.isFile()
  } catch {
    return false
  }
}
