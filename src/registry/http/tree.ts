import { createHash } from 'node:crypto'
import type { Snapshot, SnapshotFile } from '../store/index.js'

/** An entry of a file tree in the format of the Hugging Face hub. */
export interface TreeEntry {
  readonly type: 'file' | 'directory'
  readonly path: string
  readonly size: number
  /** Git's SHA-1: of the LFS pointer for a file. */
  readonly oid: string
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number }
}

/**
 * Lists a folder of a revision: its files and folders, with `recursive` those below as well. The order is that of the revision, on which
 * llama.cpp depends.
 * @returns undefined where there is no such folder.
 */
export function listTree({ files }: Snapshot, folder: string, recursive: boolean): TreeEntry[] | undefined {
  const prefix = folder === '' ? '' : `${folder}/`
  const below = files.filter(({ path }) => path.startsWith(prefix))
  if (below.length === 0 && folder !== '') return undefined
  const entries = new Map<string, TreeEntry>()
  for (const file of below) {
    const segments = file.path.slice(prefix.length).split('/')
    const depths = recursive ? segments.length : 1
    for (let depth = 1; depth <= depths; depth++) {
      const path = prefix + segments.slice(0, depth).join('/')
      entries.set(path, depth === segments.length ? fileEntry(file) : directoryEntry(path))
    }
  }
  return [...entries.values()]
}

/** Finds a file or folder of a revision by its path. */
export function findEntry(snapshot: Snapshot, path: string): TreeEntry | undefined {
  const file = snapshot.files.find((candidate) => candidate.path === path)
  if (file !== undefined) return fileEntry(file)
  return snapshot.files.some((candidate) => candidate.path.startsWith(`${path}/`)) ? directoryEntry(path) : undefined
}

function fileEntry({ path, digest, sizeBytes }: SnapshotFile): TreeEntry {
  const sha256 = digest.slice('sha256:'.length)
  // Every file is shown as one of Git LFS, the only way in which the hub's listings carry a SHA-256.
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${sizeBytes}\n`
  const lfs = { oid: sha256, size: sizeBytes, pointerSize: pointer.length }
  return { type: 'file', path, size: sizeBytes, oid: gitOid('blob', pointer), lfs }
}

function directoryEntry(path: string): TreeEntry {
  return { type: 'directory', path, size: 0, oid: gitOid('tree', path) }
}

function gitOid(kind: string, content: string): string {
  return createHash('sha1').update(`${kind} ${content.length}\0${content}`).digest('hex')
}
