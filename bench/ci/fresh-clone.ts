import { spawnSync } from 'node:child_process'

/** Clones the last commit of this repository into a folder, without history, dependencies or builds. @throws Error where git does not. */
export function cloneHere(folder: string): void {
  run('git', ['clone', '--quiet', '--depth', '1', `file://${process.cwd()}`, folder])
}

/** Runs a command to its end. @throws Error with the end of what it wrote, unless it ends with `status`. */
export function run(
  command: string,
  args: readonly string[],
  { cwd, env, status = 0 }: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly status?: number } = {},
): string {
  const ended = spawnSync(command, args, { cwd, env, encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (ended.error !== undefined) throw ended.error
  if (ended.status === status) return ended.stdout
  const said = `${ended.stdout}\n${ended.stderr}`.trim().slice(-3000)
  throw new Error(`${[command, ...args].join(' ').slice(0, 300)} ended with ${ended.status ?? String(ended.signal)}: ${said}`)
}
