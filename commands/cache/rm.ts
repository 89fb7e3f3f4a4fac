import { Args, Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import { type CachedModel, cacheDirectory, removeCached } from '../../src/hub/index.js'
import { formatBytes } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'

export default class CacheRm extends MqCommand {
  static override summary = 'Remove downloaded models.'
  static override examples = [
    '<%= config.bin %> cache rm kjv/llama:Q4_K_M',
    '<%= config.bin %> cache rm kjv/llama',
    '<%= config.bin %> cache rm --unfinished',
    '<%= config.bin %> cache rm --all',
  ]
  static override strict = false

  static override args = {
    name: Args.string({ description: 'NAMESPACE/NAME[:TAG] of downloaded models; without a tag, all tags.' }),
  }

  static override flags = {
    all: Flags.boolean({ description: 'Remove all models.', exclusive: ['unfinished'] }),
    unfinished: Flags.boolean({ description: 'Remove partial files of interrupted downloads only, no models.' }),
    cache: Flags.string({ helpValue: 'DIR', description: 'Folder of the cache. [default: $MQ_CACHE or ~/.cache/mq]' }),
  }

  override async run(): Promise<{ removed: CachedModel[]; bytes: number }> {
    const { argv, flags } = await this.parse(CacheRm)
    const names = argv as string[]
    const whole = flags.all || flags.unfinished
    if (names.length > 0 === whole) {
      throw MqError.of('USAGE', { problem: 'Give names of models, or one of --all and --unfinished', command: 'cache rm' })
    }
    const removed = await removeCached(
      flags.all ? 'all' : flags.unfinished ? 'unfinished' : { names },
      flags.cache ?? cacheDirectory(),
    )
    const bytes = removed.reduce((sum, model) => sum + model.unfinishedBytes + (flags.unfinished ? 0 : model.sizeBytes), 0)
    for (const { names: own, directory } of removed) this.log(own.map(({ name }) => name).join(', ') || directory)
    this.log(`${formatBytes(bytes)} removed`)
    return { removed, bytes }
  }
}
