import { Args, Flags } from '@oclif/core'
import { defaultRegistryDirectory, type Published, publish } from '../src/registry/index.js'
import { formatBytes } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'
import { registryFlag } from './shared/registry-flag.js'

export default class Publish extends MqCommand {
  static override summary = 'Publish a model to the local registry.'
  static override description =
    `Checks the model, stores its files by SHA-256 digest, and sets the tag; the tag changes only when everything is stored.
A report of \`mq verify\` next to the model (MODEL.verify.json) is attached. If the report belongs to another file, or one of its gates failed, the model is not published.`
  static override examples = [
    '<%= config.bin %> publish llama-Q4_K_M.gguf kjv/llama:Q4_K_M',
    '<%= config.bin %> publish samples/llama-kjv kjv/llama',
    '<%= config.bin %> publish model-00001-of-00003.gguf kjv/llama --registry /srv/models',
  ]

  static override args = {
    model: Args.string({
      required: true,
      description: 'A .gguf file, any shard of a split model, or a checkpoint folder.',
    }),
    name: Args.string({
      required: true,
      description:
        'NAMESPACE/NAME[:TAG]. Default tag: the file type of the GGUF, such as Q4_K_M; "main" for a checkpoint folder.',
    }),
  }

  static override flags = {
    ...registryFlag,
    report: Flags.string({
      helpValue: 'FILE',
      description: 'Report of `mq verify` to attach. [default: MODEL.verify.json, if it exists]',
    }),
    force: Flags.boolean({
      description: 'Publish even if the report does not match the model, and replace a damaged list of tags.',
    }),
  }

  override async run(): Promise<Published> {
    const { args, flags } = await this.parse(Publish)
    const published = await this.follow(
      publish({
        source: args.model,
        name: args.name,
        registry: flags.registry ?? defaultRegistryDirectory(),
        report: flags.report,
        force: flags.force,
        signal: this.signal,
      }),
    )
    const verified = published.verified ? ', verified' : ''
    this.log(`${published.name}  ${published.files.length} files, ${formatBytes(published.sizeBytes)}${verified}`)
    this.log(published.digest)
    return published
  }
}
