import { Args, Flags } from '@oclif/core'
import { defaultRegistryDirectory, formatBytes, type Published, publish } from '../src/index.js'
import { MqCommand } from './base-command.js'

export default class Publish extends MqCommand {
  static override summary = 'Put a model into the local registry.'
  static override description =
    `Checks the model, stores its files by content, and points the tag to them; until then readers see what was there before.
A report of \`mq verify\` beside the model (MODEL.verify.json) is attached; one that belongs to other bytes, or says that a gate failed, stops the publication.`
  static override examples = [
    '<%= config.bin %> publish llama-Q4_K_M.gguf kjv/llama:Q4_K_M',
    '<%= config.bin %> publish samples/llama-kjv kjv/llama',
    '<%= config.bin %> publish model-00001-of-00003.gguf kjv/llama --registry /srv/models',
  ]

  static override args = {
    model: Args.string({
      required: true,
      description: 'A .gguf file, one shard of a split model, or a folder with a checkpoint.',
    }),
    name: Args.string({
      required: true,
      description: 'NAMESPACE/NAME[:TAG]. Without a tag: what the GGUF says, such as Q4_K_M; "main" for a folder.',
    }),
  }

  static override flags = {
    registry: Flags.string({ description: 'Folder of the registry. [default: $MQ_REGISTRY or ~/.local/share/mq/registry]' }),
    report: Flags.string({ description: 'Report of `mq verify` to attach. [default: MODEL.verify.json, if there]' }),
    force: Flags.boolean({
      description: 'Publish although the report does not match, and start over where the tags are damaged.',
    }),
  }

  override async run(): Promise<Published> {
    const { args, flags } = await this.parse(Publish)
    const published = await this.follow(
      publish({
        source: args.model,
        name: args.name,
        registry: flags.registry ?? defaultRegistryDirectory(),
        ...(flags.report !== undefined && { report: flags.report }),
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
