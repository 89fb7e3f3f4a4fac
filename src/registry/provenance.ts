import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { hashFile } from '../files/index.js'
import { inspectSource, type Source } from './source.js'
import { annotations, digestOf } from './store/index.js'
import { mqVersion } from './version.js'

/** Provenance of a publication. Unknown fields are absent. */
export interface Provenance {
  /** Version of mq that published it. */
  readonly version: string
  /** Digest of the model that it was made from: see {@link digestOfSource}. */
  readonly source?: string | undefined
  /** Digest of the attached plan. */
  readonly plan?: string | undefined
  /** Calibration as the plan names it. */
  readonly calibration?: string | undefined
  /** Digest of the reference that it was measured against. */
  readonly reference?: string | undefined
}

/** Returns the provenance as annotations of a manifest. */
export function provenanceNotes(provenance: Provenance): Record<string, string> {
  const known = Object.entries(provenance).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return Object.fromEntries(known.map(([key, value]) => [`${annotations.provenance}${key}`, value]))
}

/** Makes a provenance with the version of mq. */
export function provenanceOf(parts: Omit<Provenance, 'version'>): Provenance {
  return { version: mqVersion(), ...parts }
}

/**
 * Computes one digest for the files of a model: the SHA-256 of their list as `sha256sum` writes it, in the order of names. A single file has its own
 * SHA-256.
 */
export function digestOfFiles(files: readonly { readonly name: string; readonly sha256: string }[]): string {
  const [first] = files
  if (files.length === 1 && first !== undefined) return `sha256:${first.sha256}`
  const lines = files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).toSorted((a, b) => (a.slice(64) < b.slice(64) ? -1 : 1))
  return digestOf(lines.join(''))
}

/** Computes the digest of a checkpoint folder or a GGUF with all its shards. @throws MqError as inspectSource does. */
export async function digestOfSource(path: string, signal?: AbortSignal): Promise<string> {
  const { files }: Pick<Source, 'files'> = await inspectSource(path)
  const isFolder = (await stat(path)).isDirectory()
  const hashed = []
  for (const { source, pathFor } of files) {
    const { sha256 } = await hashFile(source, signal)
    hashed.push({ name: isFolder ? pathFor('', '') : basename(source), sha256 })
  }
  return digestOfFiles(hashed)
}
