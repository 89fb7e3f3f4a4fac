import { basename } from 'node:path'
import { Args, Flags } from '@oclif/core'
import { formatBytes, type Pulled, pull } from '../src/index.js'
import { MqCommand } from './base-command.js'

export default class Pull extends MqCommand {
  static override summary = 'Download a checkpoint or a GGUF from a Hugging Face hub or a registry.'
  static override description =
    `Without --include: of a checkpoint all that a conversion needs, and of a repository of GGUF files the one that llama.cpp would take.
Every file is verified by its hash. An interrupted download goes on where it stopped when the same command is run again.`
  static override examples = [
    '<%= config.bin %> pull meta-llama/Llama-3.2-1B-Instruct -o llama',
    '<%= config.bin %> pull kjv/llama:Q4_K_M --endpoint http://127.0.0.1:8484',
    "<%= config.bin %> pull bartowski/Llama-3.2-1B-Instruct-GGUF --include '*Q6_K*'",
  ]

  static override args = {
    repo: Args.string({ required: true, description: 'NAMESPACE/NAME, with :TAG for one GGUF of several, or @REVISION.' }),
  }

  static override flags = {
    output: Flags.string({ char: 'o', description: 'Folder to put the files into. [default: ./NAME]' }),
    revision: Flags.string({ description: 'Branch, tag or commit. [default: main]' }),
    include: Flags.string({ multiple: true, description: "Which files, such as '*.json'; may be given several times." }),
    endpoint: Flags.string({ description: 'Address of the hub or registry. [default: $HF_ENDPOINT or https://huggingface.co]' }),
    concurrency: Flags.integer({ default: 4, min: 1, max: 64, description: 'Files at a time.' }),
  }

  override async run(): Promise<Pulled> {
    const { args, flags } = await this.parse(Pull)
    const directory = flags.output ?? basename(args.repo.replace(/[:@].*$/, ''))
    const pulled = await this.follow(
      pull({
        repo: args.repo,
        directory,
        concurrency: flags.concurrency,
        signal: this.signal,
        ...(flags.revision !== undefined && { revision: flags.revision }),
        ...(flags.include !== undefined && { include: flags.include }),
        ...(flags.endpoint !== undefined && { endpoint: flags.endpoint }),
      }),
    )
    const there = pulled.skipped > 0 ? `, ${pulled.skipped} were there already` : ''
    this.log(`${pulled.directory}  ${pulled.files.length} files, ${formatBytes(pulled.bytes)} fetched${there}`)
    return pulled
  }
}
