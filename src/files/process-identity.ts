import { createHash } from 'node:crypto'
import { readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'

/** A process, as others that share a disk with it can tell it apart: containers may share a host name, process numbers come again. */
export interface ProcessIdentity {
  /** Where its number is valid: host name, boot of the kernel, namespace of process numbers; 16 hexadecimal digits. */
  readonly place: string
  readonly pid: number
  /** When it started, in the kernel's own unit; empty where the system does not say. */
  readonly start: string
}

let own: Promise<ProcessIdentity> | undefined

/** This process. */
export function ownIdentity(): Promise<ProcessIdentity> {
  own ??= identify()
  return own
}

/** Whether a process is known to be gone. Of another machine's or another container's nothing is known. */
export async function hasEnded({ place, pid, start }: ProcessIdentity): Promise<boolean> {
  if (place !== (await ownIdentity()).place || !Number.isSafeInteger(pid) || pid <= 0) return false
  return !isAlive(pid) || (await startOf(pid)) !== start
}

async function identify(): Promise<ProcessIdentity> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '')
  const place = createHash('sha256').update([hostname(), boot.trim(), namespace].join('\0')).digest('hex').slice(0, 16)
  return { place, pid: process.pid, start: await startOf(process.pid) }
}

/** Source: proc(5), field 22 of /proc/PID/stat. */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The second field is a name in parentheses, which may hold anything.
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
