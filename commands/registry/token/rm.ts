import { Args } from '@oclif/core'
import { defaultRegistryDirectory, removeToken } from '../../../src/registry/index.js'
import { MqCommand } from '../../base-command.js'
import { registryFlag } from '../../shared/registry-flag.js'

export default class RegistryTokenRm extends MqCommand {
  static override summary = 'Revoke a token of the local registry.'
  static override examples = ['<%= config.bin %> registry token rm 1a2b3c4d']

  static override args = {
    id: Args.string({ required: true, description: 'ID of the token, from `mq registry token ls`.' }),
  }

  static override flags = {
    ...registryFlag,
  }

  override async run(): Promise<{ removed: string }> {
    const { args, flags } = await this.parse(RegistryTokenRm)
    await removeToken(flags.registry ?? defaultRegistryDirectory(), args.id)
    this.log(`${args.id} revoked`)
    return { removed: args.id }
  }
}
