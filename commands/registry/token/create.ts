import { Flags } from '@oclif/core'
import { createToken, defaultRegistryDirectory, type TokenInfo } from '../../../src/registry/index.js'
import { MqCommand } from '../../base-command.js'
import { registryFlag } from '../../shared/registry-flag.js'

export default class RegistryTokenCreate extends MqCommand {
  static override summary = 'Create a token for clients of the local registry.'
  static override description =
    'The token is shown once; the registry keeps its hash. Clients send it as HF_TOKEN, or as a password with any user name (docker, skopeo, oras login).'
  static override examples = [
    '<%= config.bin %> registry token create --name ci --write --namespace kjv --days 30',
    '<%= config.bin %> registry token create --name laptop --write --json',
  ]

  static override flags = {
    name: Flags.string({ required: true, helpValue: 'TEXT', description: 'Name of the token, such as ci.' }),
    write: Flags.boolean({ description: 'Allow publishing and deleting. [default: reading only]' }),
    namespace: Flags.string({
      multiple: true,
      helpValue: 'NAME',
      description: 'Namespace that the token is valid for. May be given several times. [default: all]',
    }),
    days: Flags.integer({ min: 1, max: 3650, helpValue: 'N', description: 'Lifetime, in days. [default: never]' }),
    ...registryFlag,
  }

  override async run(): Promise<TokenInfo & { token: string }> {
    const { flags } = await this.parse(RegistryTokenCreate)
    const { name, write, days } = flags
    const request = { name, write, days, namespaces: flags.namespace }
    const { token, info } = await createToken(flags.registry ?? defaultRegistryDirectory(), request)
    this.log(token)
    return { ...info, token }
  }
}
