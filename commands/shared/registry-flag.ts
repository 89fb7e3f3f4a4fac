import { Flags } from '@oclif/core'

/** Flag of all commands that work on a registry's folder. */
export const registryFlag = {
  registry: Flags.string({
    helpValue: 'DIR',
    description: 'Folder of the registry. [default: $MQ_REGISTRY or ~/.local/share/mq/registry]',
  }),
}
