import { Args, Flags } from '@oclif/core'
import { type Pulled, pullRepository as pull } from '../src/hub/index.js'
import { formatBytes } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'

export default class Pull extends MqCommand {
  static override summary = 'Download a checkpoint or a GGUF from a Hugging Face hub or a registry.'
  static override description =
    `Without --include, downloads all files of a checkpoint that conversion needs, or, from a repository of GGUF files, the one that llama.cpp would choose.
Without -o the files lie in the cache that transformers, huggingface_hub and others share, and hf:NAMESPACE/NAME in place of a path uses them. Gated and private repositories need a token: $HF_TOKEN, or the file that \`hf auth login\` writes.
Every file is verified by its hash. An interrupted download resumes when the same command is run again.`
  static override examples = [
    '<%= config.bin %> pull meta-llama/Llama-3.2-1B-Instruct -o llama',
    '<%= config.bin %> pull kjv/llama:Q4_K_M --endpoint http://127.0.0.1:8484',
    "<%= config.bin %> pull bartowski/Llama-3.2-1B-Instruct-GGUF --include '*Q6_K*'",
  ]

  static override args = {
    repo: Args.string({ required: true, description: 'NAMESPACE/NAME, with :TAG to choose a GGUF file, or with @REVISION.' }),
  }

  static override flags = {
    output: Flags.string({
      char: 'o',
      helpValue: 'DIR',
      description:
        "Folder for the files. [default: the cache of Hugging Face's tools: $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub]",
    }),
    revision: Flags.string({ helpValue: 'NAME', description: 'Branch, tag or commit. [default: main]' }),
    include: Flags.string({
      multiple: true,
      helpValue: 'PATTERN',
      description:
        "Download the files that match this pattern, such as '*.json'. [default: what conversion needs, or the one GGUF file that llama.cpp would choose]",
    }),
    exclude: Flags.string({
      multiple: true,
      helpValue: 'PATTERN',
      description: "Leave out the files that match this pattern, such as 'original/*'. [default: none]",
    }),
    endpoint: Flags.string({
      helpValue: 'URL',
      description: 'Address of the hub or registry. [default: $HF_ENDPOINT or https://huggingface.co]',
    }),
    concurrency: Flags.integer({
      default: 4,
      min: 1,
      max: 64,
      helpValue: 'N',
      description: 'Number of files to download in parallel.',
    }),
  }

  override async run(): Promise<Pulled> {
    const { args, flags } = await this.parse(Pull)
    const pulled = await this.follow(
      pull({
        repo: args.repo.replace(/^hf:/i, ''),
        directory: flags.output,
        concurrency: flags.concurrency,
        signal: this.signal,
        revision: flags.revision,
        include: flags.include,
        exclude: flags.exclude,
        endpoint: flags.endpoint,
      }),
    )
    const there = pulled.skipped > 0 ? `, ${pulled.skipped} were already complete` : ''
    this.log(`${pulled.directory}  ${pulled.files.length} files, ${formatBytes(pulled.bytes)} fetched${there}`)
    return pulled
  }
}
