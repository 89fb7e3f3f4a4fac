import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { layoutGguf } from '../formats/gguf/index.js'
import { finish } from '../src/progress/index.js'
import { publish } from '../src/registry/index.js'
import { foreign } from './foreign.js'
import { freePort } from './free-port.js'
import { mqEntry } from './pipeline.js'
import { cpuSecondsOf } from './process-tree.js'
import { uniforms } from './random.js'

/** What is asked of the servers. */
export interface RegistryBenchOptions {
  /** Of the file that is pulled. */
  readonly bytes: number
  /** Clients that pull at once, for the memory. */
  readonly clients: number
  /** Clients that pull at once, for the speed. */
  readonly streams: number
  /** How long each measurement of speed takes. */
  readonly seconds: number
}

/** A server under load. */
export interface ServerLoad {
  readonly bytesPerSecond: number
  /** Most memory that was resident at a time. */
  readonly peakBytes: number
  /** CPU time of the server, user and system, for each gigabyte sent: what its speed is where clients and others share the cores. */
  readonly cpuSecondsPerGigabyte: number
}

/** The registry under load, and nginx with sendfile for the same file, in one run on one machine. */
export interface RegistryMeasurement {
  readonly fileBytes: number
  readonly cores: number
  readonly clients: number
  /** `clients` at once. */
  readonly crowd: ServerLoad
  /** Whether each of the crowd kept getting bytes to its end. */
  readonly stalledClients: number
  readonly streams: number
  /** `streams` at once. */
  readonly mq: ServerLoad
  readonly nginx?: ServerLoad | undefined
  /** nginx in front of the registry, which answers with X-Accel-Redirect. */
  readonly accelerated?: ServerLoad | undefined
  /** mq's bytes a second over nginx's. */
  readonly ratio?: number | undefined
  /** Why nginx is not compared. */
  readonly leftOut?: string | undefined
}

interface Server {
  readonly port: number
  readonly pids: readonly number[]
  stop(): Promise<void>
}

const modelPath = '/bench/load/resolve/main/load-F32.gguf'

/** Serves a file from `mq registry serve` and from nginx, to clients that read and throw away, as fast as one process can. */
export async function benchRegistry(options: RegistryBenchOptions, say: (text: string) => void): Promise<RegistryMeasurement> {
  const { clients, streams, seconds } = options
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-registry-'))
  const registry = join(folder, 'registry')
  try {
    say('publishing')
    const source = await writeLarge(join(folder, 'load.gguf'), options.bytes)
    const { sizeBytes, files } = await finish(publish({ source, name: 'bench/load:F32', registry }))
    await rm(source)
    const digest = files[0]?.digest.slice('sha256:'.length) ?? ''

    const server = await startMq(registry, folder)
    say(`${clients} clients of mq`)
    const crowd = await load(server, modelPath, clients, seconds)
    await server.stop()
    const leftOut = whyNoNginx()
    const rounds: { mq: ServerLoad[]; nginx: ServerLoad[]; accelerated: ServerLoad[] } = { mq: [], nginx: [], accelerated: [] }
    // By turns, so that what else the machine does hits all alike.
    for (let round = 0; round < 3; round++) {
      say(`${streams} clients, round ${round + 1} of 3`)
      rounds.mq.push(await measured(() => startMq(registry, folder), modelPath, streams, seconds))
      if (leftOut !== undefined) continue
      rounds.nginx.push(await measured(() => startNginx(folder, registry), `/blobs/sha256/${digest}`, streams, seconds))
      rounds.accelerated.push(await measured(() => startAccelerated(folder, registry), modelPath, streams, seconds))
    }
    const [mq, nginx, accelerated] = [rounds.mq, rounds.nginx, rounds.accelerated].map(median)
    const ratio = nginx === undefined || mq === undefined ? undefined : mq.bytesPerSecond / nginx.bytesPerSecond
    const cores = cpus().length
    const { stalled, ...crowdLoad } = crowd
    return {
      fileBytes: sizeBytes,
      cores,
      clients,
      crowd: crowdLoad,
      stalledClients: stalled,
      streams,
      mq: mq as ServerLoad,
      nginx,
      accelerated,
      ratio,
      leftOut,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measured(start: () => Promise<Server>, path: string, streams: number, seconds: number): Promise<ServerLoad> {
  const server = await start()
  try {
    const { stalled: _, ...found } = await load(server, path, streams, seconds)
    return found
  } finally {
    await server.stop()
  }
}

function median(loads: readonly ServerLoad[]): ServerLoad | undefined {
  return loads.toSorted((a, b) => a.bytesPerSecond - b.bytesPerSecond)[Math.floor(loads.length / 2)]
}

/**
 * Clients that ask for the file again and again, and read into one buffer.
 * @returns bytes a second of all together, the server's most memory, and how many clients got nothing in the last half of the time.
 */
async function load(server: Server, path: string, clients: number, seconds: number): Promise<ServerLoad & { stalled: number }> {
  // A larger one would let the system fill it from one client again and again while others wait.
  const buffer = Buffer.allocUnsafe(128 << 10)
  const received = Array<number>(clients).fill(0)
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  let failure: string | undefined
  let isOver = false
  const sockets = received.map((_, index) => {
    const answer = newAnswer()
    const socket = connect({
      port: server.port,
      host: '127.0.0.1',
      onread: {
        buffer,
        callback: (bytesRead) => {
          received[index] = (received[index] ?? 0) + bytesRead
          const state = answer.take(buffer.subarray(0, bytesRead))
          if (state === 'whole') socket.write(request)
          else if (state !== 'more') failure ??= state
          return true
        },
      },
    })
    socket.on('error', (error) => (failure ??= error.message))
    socket.on('close', () => (failure ??= isOver ? undefined : 'a connection was closed'))
    socket.write(request)
    return socket
  })
  let peakBytes = 0
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, residentBytes(server.pids))
  }, 50)
  await sleep(300)
  const sum = (): number => received.reduce((total, bytes) => total + bytes, 0)
  const cpu = (): number => server.pids.reduce((total, pid) => total + cpuSecondsOf(pid), 0)
  const [startedAt, before, cpuBefore] = [performance.now(), sum(), cpu()]
  await sleep((seconds * 1000) / 2)
  const half = [...received]
  await sleep((seconds * 1000) / 2)
  const bytes = sum() - before
  const bytesPerSecond = (1000 * bytes) / (performance.now() - startedAt)
  const cpuSecondsPerGigabyte = (1e9 * (cpu() - cpuBefore)) / bytes
  clearInterval(watch)
  const stalled = received.filter((bytes, index) => bytes === half[index]).length
  isOver = true
  for (const socket of sockets) socket.destroy()
  if (failure !== undefined) throw new Error(`the server did not serve: ${failure}`)
  return { bytesPerSecond, peakBytes, cpuSecondsPerGigabyte, stalled }
}

/** Follows the answers on a connection. `take` says whether one is whole, or what is wrong with it. */
function newAnswer(): { take(bytes: Buffer): string } {
  let head = ''
  let left = 0
  return {
    take(bytes) {
      if (left === 0) {
        head += bytes.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return 'more'
        if (!head.startsWith('HTTP/1.1 200 ')) return head.slice(0, head.indexOf('\r\n'))
        left = Number(/^content-length: (\d+)/im.exec(head)?.[1]) - (head.length - end - 4)
        head = ''
      } else left -= bytes.byteLength
      return left === 0 ? 'whole' : 'more'
    },
  }
}

function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      return sum + 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      return sum
    }
  }, 0)
}

async function startMq(registry: string, folder: string, ...flags: string[]): Promise<Server> {
  const args = [mqEntry(), 'registry', 'serve', '--registry', registry, '--port', '0', '-q', ...flags]
  const env = { ...process.env, NODE_ENV: 'production' }
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env, cwd: folder })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(/:(\d+) serves /.exec(String(line))?.[1])
  return { port, pids: [child.pid ?? 0], stop: () => stop(child) }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

function whyNoNginx(): string | undefined {
  if (existsSync('/usr/sbin/nginx')) return undefined
  return foreign.available && foreign.has('../sbin/nginx')
    ? undefined
    : 'there is no nginx, on this machine or among the foreign programs'
}

/** Debian's nginx, with sendfile on, as many workers as cores; it serves the blobs, and what it does not have comes from `upstream`. */
async function startNginx(folder: string, registry: string, upstream?: number): Promise<Server> {
  const own = join(folder, 'nginx')
  await mkdir(own, { recursive: true })
  const port = await freePort()
  const proxy =
    upstream === undefined ? '' : `location / { proxy_pass http://127.0.0.1:${upstream}; proxy_set_header Host $http_host; }`
  const internal = upstream === undefined ? '' : 'internal;'
  const text = `daemon off; worker_processes auto; pid ${own}/pid; error_log ${own}/error.log; user root;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
client_body_temp_path ${own}/body; proxy_temp_path ${own}/proxy; fastcgi_temp_path ${own}/fastcgi; uwsgi_temp_path ${own}/uwsgi; scgi_temp_path ${own}/scgi;
server { listen 127.0.0.1:${port}; location /blobs/ { ${internal} alias ${registry}/blobs/; } ${proxy} } }
`
  await writeFile(join(own, 'nginx.conf'), text)
  const args = ['-c', join(own, 'nginx.conf'), '-e', join(own, 'error.log')]
  const [command, all] = existsSync('/usr/sbin/nginx')
    ? ['/usr/sbin/nginx', args]
    : foreign.enter('/usr/sbin/nginx', args, folder)
  const child = spawn(command, all, { stdio: ['ignore', 'ignore', 'pipe'] })
  child.stderr.pipe(createWriteStream(join(own, 'stderr.log')))
  for (let attempt = 0; !(await answers(port)); attempt++) {
    if (attempt > 100 || child.exitCode !== null)
      throw new Error(
        `nginx does not start: ${existsSync(join(own, 'error.log')) ? readFileSync(join(own, 'error.log'), 'utf8') : ''}`,
      )
    await sleep(100)
  }
  return { port, pids: [child.pid ?? 0, ...childrenOf(child.pid ?? 0)], stop: () => stop(child) }
}

async function startAccelerated(folder: string, registry: string): Promise<Server> {
  const mq = await startMq(registry, folder, '--accel-redirect', '/blobs')
  const nginx = await startNginx(folder, registry, mq.port)
  return {
    port: nginx.port,
    pids: [...nginx.pids, ...mq.pids],
    async stop() {
      await nginx.stop()
      await mq.stop()
    },
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.unref()
    setTimeout(() => socket.destroy(), 100).unref()
  })
}

/** A GGUF of one tensor of noise: what it holds does not matter, but no disk may skip it. */
async function writeLarge(path: string, bytes: number): Promise<string> {
  const row = 1 << 18
  const rows = Math.max(1, Math.round(bytes / 4 / row))
  const { header, dataBytes } = layoutGguf(
    new Map([
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['general.file_type', { type: 'uint32', value: 0 }],
    ]),
    [{ name: 'load.weight', dimensions: [row, rows], type: 'F32' }],
  )
  const next = uniforms(1)
  const block = Buffer.from(Uint8Array.from({ length: 4 << 20 }, () => Math.floor(256 * next())))
  const file = createWriteStream(path)
  file.write(header)
  for (let left = dataBytes; left > 0; left -= block.byteLength) {
    if (!file.write(block.subarray(0, Math.min(left, block.byteLength)))) await once(file, 'drain')
  }
  file.end()
  await once(file, 'close')
  return path
}
