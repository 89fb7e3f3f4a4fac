import { Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import { checkRegistry, defaultRegistryDirectory, type RegistryCheck } from '../../src/registry/index.js'
import { formatBytes } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'
import { registryFlag } from '../shared/registry-flag.js'

export default class RegistryFsck extends MqCommand {
  static override summary = 'Check all files of the local registry against their hashes, and all tags for missing files.'
  static override description =
    'With --repair, damaged and missing files are replaced by copies from other registries, folders or the download cache; a damaged file without a copy is set aside in damaged/, and comes back when the same file is published again.'
  static override examples = [
    '<%= config.bin %> registry fsck',
    '<%= config.bin %> registry fsck --repair --from /backup/registry --from ~/models',
  ]

  static override flags = {
    ...registryFlag,
    repair: Flags.boolean({ description: 'Restore damaged or missing blobs from copies.' }),
    from: Flags.string({
      multiple: true,
      helpValue: 'DIR',
      description: 'Folder to look for copies in. May be given several times. [default: none]',
      dependsOn: ['repair'],
    }),
  }

  override async run(): Promise<RegistryCheck> {
    const { flags } = await this.parse(RegistryFsck)
    const registry = flags.registry ?? defaultRegistryDirectory()
    const check = await this.follow(
      checkRegistry({ registry, repair: flags.repair, from: flags.from ?? [], signal: this.signal }),
    )
    for (const { what, problem, tags, repaired } of check.faults) {
      const needed = tags.length > 0 ? `; ${tags.join(', ')} need it` : ''
      this.log(`${what}: ${problem}${needed}${repaired ? '; repaired' : ''}`)
    }
    const left = check.faults.filter(({ repaired }) => !repaired).length
    this.log(`${check.tags} tags, ${check.blobs} files, ${formatBytes(check.bytes)}: ${check.faults.length} faults, ${left} left`)
    if (left > 0) this.fail(MqError.of('REGISTRY_DAMAGED', { count: left, path: registry }))
    return check
  }
}
