import { createHash } from 'node:crypto'
import { MqError } from '../errors/index.js'

/** Address of a queue. */
export interface QueueAddress {
  /** Options of the Redis client. */
  readonly connection: {
    readonly host: string
    readonly port: number
    readonly username?: string
    readonly password?: string
    readonly db?: number
    readonly tls?: object
  }
  /** HOST:PORT, for messages; without a password. */
  readonly broker: string
  /** Name of the farm: several can share one broker. */
  readonly farm: string
}

/** Parses the address of a queue: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?farm=NAME]`, or `rediss://` for TLS. @throws MqError QUEUE_INVALID. */
export function parseQueue(text: string): QueueAddress {
  const invalid = (problem: string): MqError =>
    MqError.of('QUEUE_INVALID', { address: text.replace(/:[^:@/]*@/, ':...@'), problem })
  if (!URL.canParse(text)) throw invalid('it is no address')
  const { protocol, hostname, port, username, password, pathname, searchParams } = new URL(text)
  if (!/^(?:redis|valkey)s?:$/.test(protocol)) throw invalid('it does not begin with redis:// or rediss://')
  if (hostname === '') throw invalid('it names no host')
  const [, database] = /^\/(\d*)$/.exec(pathname === '' ? '/' : pathname) ?? []
  if (database === undefined) throw invalid('what follows the host is not the number of a database')
  const farm = searchParams.get('farm') ?? 'default'
  if (!/^[\w.-]{1,64}$/.test(farm)) throw invalid('a farm has a name of letters, digits, dots, dashes and underscores')
  const host = hostname.replace(/^\[|\]$/g, '')
  return {
    connection: {
      host,
      port: port === '' ? 6379 : Number(port),
      ...(username !== '' && { username: decodeURIComponent(username) }),
      ...(password !== '' && { password: decodeURIComponent(password) }),
      ...(database !== '' && { db: Number(database) }),
      ...((protocol === 'rediss:' || protocol === 'valkeys:') && { tls: {} }),
    },
    broker: `${hostname}:${port === '' ? 6379 : port}`,
    farm,
  }
}

/** Returns the name of the queue of one version of mq; other versions do not see its units. */
export function queueName({ farm }: QueueAddress, version: string): string {
  return `${farm}-${createHash('sha256').update(version).digest('hex').slice(0, 12)}`
}

/** Prefix of all keys in the broker. */
export const keyPrefix = 'mq'
