import { type DamagedModel, defaultRegistryDirectory, type ListedModel, listRegistry } from '../../src/registry/index.js'
import { formatBytes, formatTable } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'
import { registryFlag } from '../shared/registry-flag.js'

export default class RegistryLs extends MqCommand {
  static override summary = 'List the models of the local registry.'
  static override description =
    'Shows name and tag, architecture, types, size, digest, and whether a report of `mq verify` is attached.'
  static override examples = ['<%= config.bin %> registry ls', '<%= config.bin %> registry ls --registry /srv/models --json']

  static override flags = {
    ...registryFlag,
  }

  override async run(): Promise<{ registry: string; models: readonly ListedModel[]; damaged: readonly DamagedModel[] }> {
    const { flags } = await this.parse(RegistryLs)
    const registry = flags.registry ?? defaultRegistryDirectory()
    const { models, damaged } = await listRegistry(registry)
    if (models.length > 0 || damaged.length === 0)
      this.log(models.length === 0 ? `${registry} has no models yet. Publish one with \`mq publish\`.` : table(models))
    for (const { name, problem } of damaged) this.log(`${name} is damaged: ${problem}`)
    return { registry, models, damaged }
  }
}

function table(models: readonly ListedModel[]): string {
  return formatTable(
    [
      { title: 'name' },
      { title: 'format' },
      { title: 'architecture' },
      { title: 'types' },
      { title: 'files', align: 'right' },
      { title: 'size', align: 'right' },
      { title: 'verified' },
      { title: 'digest' },
    ],
    models.map((model) => [
      model.name,
      model.format,
      model.architecture ?? '',
      model.quantization ?? '',
      String(model.files),
      formatBytes(model.sizeBytes),
      model.verified ? 'yes' : '',
      model.digest.slice(0, 'sha256:'.length + 12),
    ]),
  )
}
