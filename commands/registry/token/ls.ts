import { defaultRegistryDirectory, listTokens, type TokenInfo } from '../../../src/registry/index.js'
import { formatTable } from '../../../src/terminal/index.js'
import { MqCommand } from '../../base-command.js'
import { registryFlag } from '../../shared/registry-flag.js'

export default class RegistryTokenLs extends MqCommand {
  static override summary = 'List the tokens of the local registry.'
  static override examples = ['<%= config.bin %> registry token ls']

  static override flags = {
    ...registryFlag,
  }

  override async run(): Promise<{ tokens: TokenInfo[] }> {
    const { flags } = await this.parse(RegistryTokenLs)
    const tokens = await listTokens(flags.registry ?? defaultRegistryDirectory())
    const titles = ['id', 'name', 'scopes', 'namespaces', 'created', 'expires'].map((title) => ({ title }))
    const rows = tokens.map(({ id, name, scopes, namespaces, createdAt, expiresAt }) => [
      id,
      name,
      scopes.join(', '),
      namespaces.join(', ') || 'all',
      createdAt.slice(0, 10),
      expiresAt?.slice(0, 10) ?? 'never',
    ])
    this.log(tokens.length === 0 ? 'There are no tokens: nobody can write over HTTP.' : formatTable(titles, rows))
    return { tokens }
  }
}
