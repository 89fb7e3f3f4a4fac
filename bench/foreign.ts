import { existsSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'

/** Programs that are not ours, to hold our work against: .ci/foreign-root puts them into a folder with a system of its own. */
export interface Foreign {
  /** False where the folder is not there, or where this user may not enter it; every run then throws. */
  readonly available: boolean
  /** The folder with the system of their own. */
  readonly root: string
  /** What to put into a `describe.skipIf` title: says why tests are skipped. */
  readonly name: string
  /** Whether a program is installed there, such as `llama-quantize` or `skopeo`. */
  has(command: string): boolean
  /**
   * Runs a program in `options.cwd`, which it sees under the same path, and returns what it wrote.
   * @param options.share one more folder it sees.
   * @throws ExecaError, with stderr in its message, where the program fails or runs out of time.
   */
  run(command: string, args: readonly string[], options: ForeignOptions): Promise<{ stdout: string; stderr: string }>
  /** Command and arguments that run a program in `cwd`, for those who start processes themselves; `leave` when it has ended. */
  enter(command: string, args: readonly string[], cwd: string): [string, string[]]
  /** Tidies up behind a program that ran in `cwd`. */
  leave(cwd: string): Promise<void>
  /** Runs a Python script, given as text. */
  python(script: string, args: readonly string[], options: ForeignOptions): Promise<{ stdout: string; stderr: string }>
}

export interface ForeignOptions {
  readonly cwd: string
  readonly share?: string
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds; by default a minute. */
  readonly timeout?: number
}

const root = process.env['MQ_FOREIGN_ROOT'] ?? join(homedir(), '.cache', 'mq-foreign-root')

/**
 * $1 is the folder, $2 the working folder, $3 one more or nothing; the program follows. The mounts live in a namespace of their own:
 * they end with the program, whatever becomes of it.
 */
const enter = `
set -e
root=$1; cwd=$2; share=$3; shift 3
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mountpoint -q "$root/dev" || mount --bind /dev "$root/dev"
for folder in "$cwd" "$share"; do
  if [ -n "$folder" ]; then mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; fi
done
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
`

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  if (!existsSync(join(root, 'usr', 'bin', 'env'))) return `no foreign programs in ${root}`
  return undefined
}

const reason = whyNot()

function commandLine(command: string, args: readonly string[], cwd: string, share = ''): [string, string[]] {
  if (reason !== undefined) throw new Error(reason)
  const inside = ['sh', '-c', enter, 'sh', root, cwd, share, command, ...args]
  return ['env', ['unshare', '--mount', '--propagation', 'private', ...inside]]
}

export const foreign: Foreign = {
  root,
  available: reason === undefined,
  name: reason === undefined ? 'foreign programs' : `SKIPPED, ${reason}`,
  has: (command) => existsSync(join(root, 'usr', 'bin', command)),
  async run(command, args, { cwd, share = '', env = {}, timeout = 60_000 }) {
    try {
      const { stdout, stderr } = await execa(...commandLine(command, args, cwd, share), {
        env,
        timeout,
        stdin: 'ignore',
        killSignal: 'SIGKILL',
      })
      return { stdout, stderr }
    } finally {
      for (const folder of [cwd, share]) if (folder !== '') await foreign.leave(folder)
    }
  },
  enter: (command, args, cwd) => commandLine(command, args, cwd),
  // The empty folder that was mounted over; others may be using the ones above it.
  leave: (cwd) => rmdir(join(root, cwd)).catch(() => {}),
  python: (script, args, options) => foreign.run('python3', ['-c', script, ...args], options),
}
