import { Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import { type CacheCheck, cacheDirectory, checkCache } from '../../src/hub/index.js'
import { formatBytes } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'

export default class CacheCheckCommand extends MqCommand {
  static override summary = 'Verify downloaded models by their hashes.'
  static override description =
    'Reads every file in the cache. With --repair, damaged files are removed; they are downloaded again when next needed.'
  static override examples = ['<%= config.bin %> cache check', '<%= config.bin %> cache check --repair']

  static override flags = {
    cache: Flags.string({ helpValue: 'DIR', description: 'Folder of the cache. [default: $MQ_CACHE or ~/.cache/mq]' }),
    repair: Flags.boolean({ description: 'Remove damaged files.' }),
  }

  override async run(): Promise<CacheCheck> {
    const { flags } = await this.parse(CacheCheckCommand)
    const cache = flags.cache ?? cacheDirectory()
    const checked = await this.follow(checkCache({ cache, repair: flags.repair, signal: this.signal }))
    for (const { path, problem, removed } of checked.faults) this.log(`${path}: ${problem}${removed ? '; removed' : ''}`)
    this.log(`${checked.models} models, ${checked.files} files, ${formatBytes(checked.bytes)}: ${checked.faults.length} faults`)
    if (checked.faults.length > 0 && !flags.repair) {
      this.fail(MqError.of('CACHE_DAMAGED', { cache, count: checked.faults.length }))
    }
    return checked
  }
}
