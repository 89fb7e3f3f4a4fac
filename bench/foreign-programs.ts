import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** llama.cpp's own programs, which .ci/foreign-root puts into a folder with a system of its own. */
const root = process.env['MQ_FOREIGN_ROOT'] ?? join(homedir(), '.cache', 'mq-foreign-root')

/** $1 is the folder, $2 the working folder; the program follows. The mounts live in a namespace of their own and end with the program. */
const enter = `
set -e
root=$1; cwd=$2; shift 2
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mountpoint -q "$root/dev" || mount --bind /dev "$root/dev"
mkdir -p "$root$cwd"; mount --bind "$cwd" "$root$cwd"
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
`

/** Why foreign programs cannot be run here; undefined where they can. */
export function whyNoForeign(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it needs root on Linux'
  return existsSync(join(root, 'usr', 'bin', 'llama-quantize')) ? undefined : `there is no llama-quantize in ${root}`
}

/** Command and arguments that run a foreign program in `cwd`. It takes the place of the shells in front of it: one process in the end. */
export function foreignCommand(cwd: string, command: string, args: readonly string[]): [string, string[]] {
  const inside = ['sh', '-c', enter, 'sh', root, cwd, command, ...args]
  return ['unshare', ['--mount', '--propagation', 'private', ...inside]]
}

/** Where the foreign system sees the working folder of a command, for tidying up. */
export function mountPoint(cwd: string): string {
  return join(root, cwd)
}

/** convert_hf_to_gguf.py, told the name of a pre-tokenizer that it does not recognise. */
export const convertScript = `
import runpy, sys
sys.path.insert(0, '/usr/share/llama.cpp/llama.cpp-tools')
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: 'gpt-2'
runpy.run_path('/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py', run_name='__main__')
`
