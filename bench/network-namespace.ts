import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

/** Of iproute2. */
const program = 'ip'

/** A network namespace with one link to this machine's, which can be cut. Linux; only root may make one. */
export interface NetworkNamespace {
  /** What a command line begins with that is to run in it. */
  readonly enter: readonly [string, ...string[]]
  /** This machine, as seen from inside. */
  readonly host: string
  /** Takes the link down for so long: packets are lost, and no connection is told. */
  cut(forMs: number): Promise<void>
  remove(): void
}

/** Makes a namespace. @param index tells it from others of this process, up to 60. @returns undefined where that is not allowed. */
export function makeNetworkNamespace(index: number): NetworkNamespace | undefined {
  const name = `mq-${process.pid}-${index}`
  const link = `mq${process.pid % 100_000}i${index}`
  // Of 10.213.0.0/16, four addresses for each.
  const block = (process.pid % 200) * 256 + 4 * index
  const address = (last: number): string => `10.213.${Math.floor(block / 256)}.${(block % 256) + last}`
  const [host, inside] = [address(1), address(2)]
  const ip = (...args: string[]): boolean => spawnSync(program, args, { stdio: 'ignore' }).status === 0
  const remove = (): void => {
    ip('link', 'del', link)
    ip('netns', 'del', name)
  }
  const isMade =
    ip('netns', 'add', name) &&
    ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'mq0', 'netns', name) &&
    ip('addr', 'add', `${host}/30`, 'dev', link) &&
    ip('link', 'set', link, 'up') &&
    ip('-n', name, 'addr', 'add', `${inside}/30`, 'dev', 'mq0') &&
    ip('-n', name, 'link', 'set', 'mq0', 'up') &&
    ip('-n', name, 'link', 'set', 'lo', 'up')
  if (!isMade) {
    remove()
    return undefined
  }
  return {
    enter: [program, 'netns', 'exec', name],
    host,
    async cut(forMs) {
      ip('link', 'set', link, 'down')
      await sleep(forMs)
      ip('link', 'set', link, 'up')
    },
    remove,
  }
}
