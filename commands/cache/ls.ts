import { Flags } from '@oclif/core'
import { type CachedModel, cacheDirectory, listCache } from '../../src/hub/index.js'
import { formatBytes, formatTable } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'

export default class CacheLs extends MqCommand {
  static override summary = 'List the models that were downloaded by name.'
  static override examples = ['<%= config.bin %> cache ls', '<%= config.bin %> cache ls --json']

  static override flags = {
    cache: Flags.string({ helpValue: 'DIR', description: 'Folder of the cache. [default: $MQ_CACHE or ~/.cache/mq]' }),
  }

  override async run(): Promise<{ cache: string; models: CachedModel[]; sizeBytes: number }> {
    const { flags } = await this.parse(CacheLs)
    const cache = flags.cache ?? cacheDirectory()
    const models = await listCache(cache)
    const sizeBytes = models.reduce((sum, model) => sum + model.sizeBytes + model.unfinishedBytes, 0)
    this.log(models.length === 0 ? `${cache} has no models.` : `${table(models)}\n${formatBytes(sizeBytes)} in ${cache}`)
    return { cache, models, sizeBytes }
  }
}

function table(models: readonly CachedModel[]): string {
  return formatTable(
    [
      { title: 'name' },
      { title: 'from' },
      { title: 'files', align: 'right' },
      { title: 'size', align: 'right' },
      { title: 'unfinished', align: 'right' },
      { title: 'last used' },
      { title: 'folder' },
    ],
    models.map((model) => [
      model.names.map(({ name }) => name).join(', '),
      [...new Set(model.names.map(({ endpoint }) => endpoint))].join(', '),
      String(model.files.length),
      formatBytes(model.sizeBytes),
      model.unfinishedBytes > 0 ? formatBytes(model.unfinishedBytes) : '',
      model.usedAt?.slice(0, 10) ?? '',
      model.directory,
    ]),
  )
}
