import { Flags } from '@oclif/core'
import { collectGarbage, defaultRegistryDirectory, type Garbage } from '../../src/registry/index.js'
import { formatBytes } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'
import { registryFlag } from '../shared/registry-flag.js'

export default class RegistryGc extends MqCommand {
  static override summary = 'Delete files of the local registry that no tag needs.'
  static override description =
    'It may run while the registry is served and published to. Files younger than --grace stay, since an upload may be about to need them.'
  static override examples = ['<%= config.bin %> registry gc', '<%= config.bin %> registry gc --dry-run --grace 0']

  static override flags = {
    ...registryFlag,
    grace: Flags.integer({
      default: 60,
      min: 0,
      max: 525_600,
      helpValue: 'MINUTES',
      description: 'Minimum age of files to delete, in minutes.',
    }),
    'dry-run': Flags.boolean({ description: 'List what would be deleted, but delete nothing.' }),
  }

  override async run(): Promise<Garbage> {
    const { flags } = await this.parse(RegistryGc)
    const registry = flags.registry ?? defaultRegistryDirectory()
    const work = collectGarbage({ registry, graceMs: flags.grace * 60_000, dryRun: flags['dry-run'], signal: this.signal })
    const garbage = await this.follow(work)
    const young = garbage.young > 0 ? `; ${garbage.young} younger than ${flags.grace} minutes stay` : ''
    this.log(`${garbage.blobs} files, ${formatBytes(garbage.bytes)} ${garbage.dryRun ? 'would be deleted' : 'deleted'}${young}`)
    return garbage
  }
}
