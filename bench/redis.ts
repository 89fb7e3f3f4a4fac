import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { foreign } from './foreign.js'
import { freePort } from './free-port.js'

/** Whether Debian's redis-server is there, and what to put into a `describe.skipIf` title. */
export const redisServer = {
  available: foreign.available && foreign.has('redis-server'),
  name: foreign.available && foreign.has('redis-server') ? 'Redis' : 'SKIPPED, no redis-server among the foreign programs',
}

/** A Redis server of a test's own. */
export interface RunningRedis extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Ends it with SIGKILL and starts it again at the same port; it has forgotten everything, unless it writes a log. */
  restart(): Promise<void>
}

/** Starts redis-server. @param remembers whether it writes what it knows to the disk at once. */
export async function runRedis({ remembers = false } = {}): Promise<RunningRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-redis-'))
  const port = await freePort()
  const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder]
  const log = remembers ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  let child: ChildProcess
  const start = async (): Promise<void> => {
    const [command, args] = foreign.enter('redis-server', [...settings, ...log], folder)
    child = spawn(command, args, { stdio: 'ignore' })
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
      await sleep(50)
    }
  }
  const end = async (): Promise<void> => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    async restart() {
      await end()
      await start()
    },
    async [Symbol.asyncDispose]() {
      await end()
      await foreign.leave(folder)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
