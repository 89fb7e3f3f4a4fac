import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MqError } from '../errors/index.js'
import {
  architecturesIn,
  findProgram,
  gpuPackages,
  type Hardware,
  installedBuilds,
  listDevices,
  packageVersion,
} from '../runner/index.js'
import { type DiskSpeed, diskSpeed } from './disk-speed.js'
import { atDiskSpeed, type SpeedEstimate, speedEstimateOf, speedEstimateText } from './speed-estimate.js'

export interface DoctorOptions {
  /** A model whose disk is measured, and whose speed is estimated. */
  readonly model?: string | undefined
  /** Folder of llama.cpp's programs; by default those on $PATH. */
  readonly llamaDirectory?: string | undefined
  readonly signal?: AbortSignal
}

/** A build of llama.cpp, and what it can compute on. */
export interface ExaminedBuild {
  readonly name: string
  readonly version: string
  readonly architectures: number
  readonly devices: Hardware['devices']
  readonly systemInfo: string
  /** Why it does not run. */
  readonly problem?: string
}

export interface Examination {
  readonly system: string
  readonly node: string
  readonly processor: { readonly model: string; readonly threads: number; readonly features: readonly string[] }
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number; readonly limitBytes?: number }
  readonly disk?: DiskSpeed & { readonly freeBytes: number }
  readonly builds: readonly ExaminedBuild[]
  /** Why there is none. */
  readonly missing?: string
  /** Packages for GPUs that could be installed, with the command. */
  readonly installable: readonly string[]
  readonly nvidia?: string
  readonly external?: { readonly path: string; readonly version: string; readonly architectures?: number }
  readonly speedEstimate?: SpeedEstimate
}

/** Features of processors that llama.cpp has code for. */
const useful =
  /^(?:avx|avx2|fma|f16c|bmi2|avx512f|avx512_vnni|avx512_bf16|avx_vnni|amx_tile|amx_int8|amx_bf16|asimd|asimddp|i8mm|sve|sve2)$/

/** Looks at what models run on here. Parts that cannot be looked at are left out. @throws MqError FILE_MISSING, GGUF_INVALID of the model; INTERRUPTED. */
export async function examine({ model, llamaDirectory, signal }: DoctorOptions = {}): Promise<Examination> {
  const builds: ExaminedBuild[] = []
  for (const { packageName, folder, version, files } of installedBuilds()) {
    const known = (await architecturesIn(join(folder, files[2])))?.length ?? 0
    const found = await listDevices(folder, signal).catch((error: unknown) => {
      if (MqError.from(error).code === 'INTERRUPTED') throw error
      return { version, devices: [], systemInfo: '', problem: MqError.from(error).message }
    })
    builds.push({ name: packageName, architectures: known, ...found, version })
  }
  const limit = process.constrainedMemory()
  const totalBytes = totalmem()
  const memory = {
    totalBytes,
    availableBytes: availableBytes(),
    ...(limit > 0 && limit < totalBytes && { limitBytes: limit }),
  }
  const speed =
    model === undefined
      ? undefined
      : await diskSpeed(model).catch((error: unknown) => {
          throw MqError.from(error, model)
        })
  const usable = Math.min(memory.availableBytes, memory.limitBytes ?? totalBytes)
  const installed = new Set(builds.map(({ name }) => name))
  const nvidia = await nvidiaGpu()
  return {
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    processor: { model: cpus()[0]?.model.trim() ?? 'unknown', threads: availableParallelism(), features: features() },
    memory,
    ...(speed !== undefined && model !== undefined && { disk: { ...speed, freeBytes: await freeOn(dirname(model)) } }),
    builds,
    ...(builds.length === 0 && { missing: `no llama.cpp package for ${platform()}-${arch()} is installed` }),
    installable: gpuPackages.filter((name) => !installed.has(name)).map((name) => `npm install ${name}@${packageVersion}`),
    ...(nvidia !== undefined && { nvidia }),
    ...(await external(llamaDirectory)),
    ...(model !== undefined && { speedEstimate: atDiskSpeed(await speedEstimateOf(model, usable), speed?.bytesPerSecond) }),
  }
}

/** What to expect of a model that is larger than memory, its disk measured; undefined of others, and of files that cannot be read here. */
export async function largerThanMemory(path: string): Promise<string | undefined> {
  try {
    const limit = process.constrainedMemory()
    const usable = limit > 0 ? Math.min(limit, availableBytes()) : availableBytes()
    const speedEstimate = await speedEstimateOf(path, usable)
    return speedEstimate.diskBytes === 0
      ? undefined
      : speedEstimateText(atDiskSpeed(speedEstimate, (await diskSpeed(path))?.bytesPerSecond))
  } catch {
    return undefined
  }
}

function features(): string[] {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? ''
    return line.split(/\s+/).filter((name) => useful.test(name))
  } catch {
    return []
  }
}

/** As the kernel estimates it, the cache of files included. */
function availableBytes(): number {
  try {
    const kibibytes = /^MemAvailable:\s*(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]
    return kibibytes === undefined ? freemem() : 1024 * Number(kibibytes)
  } catch {
    return freemem()
  }
}

async function freeOn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

const run = promisify(execFile)

/** What the driver says, whether or not a build of llama.cpp can use it. */
async function nvidiaGpu(): Promise<string | undefined> {
  const query = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader']
  const found = await run('nvidia-smi', query, { timeout: 10_000 }).catch(() => undefined)
  return found?.stdout.trim().split('\n').join('; ')
}

async function external(directory: string | undefined): Promise<Pick<Examination, 'external'>> {
  const path = await findProgram('llama-server', directory).catch((error: unknown) => {
    if (directory !== undefined) throw error
    return undefined
  })
  if (path === undefined) return {}
  const answer = await run(path, ['--version'], { timeout: 10_000 }).catch(() => undefined)
  const version = /version: .*/.exec(`${answer?.stdout ?? ''}${answer?.stderr ?? ''}`)?.[0] ?? 'it does not run'
  const folders = [dirname(path), join(dirname(path), '..', 'lib'), join(dirname(path), '..', 'lib', 'x86_64-linux-gnu')]
  const library = folders.flatMap((folder) => librariesOf(folder))[0]
  const known = library === undefined ? undefined : (await architecturesIn(library))?.length
  return { external: { path, version, ...(known !== undefined && { architectures: known }) } }
}

function librariesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^(?:lib)?llama\.(?:so|dylib|dll)/.test(name))
      .map((name) => join(folder, name))
  } catch {
    return []
  }
}
