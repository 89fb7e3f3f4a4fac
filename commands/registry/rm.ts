import { Args } from '@oclif/core'
import { defaultRegistryDirectory, removeModel } from '../../src/registry/index.js'
import { MqCommand } from '../base-command.js'
import { registryFlag } from '../shared/registry-flag.js'

export default class RegistryRm extends MqCommand {
  static override summary = 'Remove a tag, or a model with all its tags, from the local registry.'
  static override description =
    'Files that no other tag needs take room until `mq registry gc` deletes them. Publishing the same files again restores the tag.'
  static override examples = ['<%= config.bin %> registry rm kjv/llama:Q4_K_M', '<%= config.bin %> registry rm kjv/llama']

  static override args = {
    name: Args.string({ required: true, description: 'NAMESPACE/NAME:TAG; without a tag, all tags of the model.' }),
  }

  static override flags = {
    ...registryFlag,
  }

  override async run(): Promise<{ removed: string[]; registry: string }> {
    const { args, flags } = await this.parse(RegistryRm)
    const registry = flags.registry ?? defaultRegistryDirectory()
    const removed = await removeModel(args.name, registry)
    for (const name of removed) this.log(`${name} removed`)
    return { removed, registry }
  }
}
