import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { linkFile, readWhole, writeWhole } from '../../files/index.js'
import type { WithProgress } from '../../progress/index.js'
import { unitKey } from '../graph/digest.js'
import type { Unit } from '../graph/step.js'
import type { HubOrigin, UnitExecutor } from '../run/executor.js'
import { type PartTask, runParts } from '../run/parts.js'
import type { WorkFolder } from '../work/work-folder.js'
import type { Digests } from './digests.js'

/** Files of fewer bytes are fetched by one unit, together. */
const defaultFetchBytes = 2 ** 26
/** Bytes of a file that is shared, at most. */
const mostSharedBytes = 2 ** 26
/** Errors of a hub, or of the way to it, which another machine may not have. */
const ofTheWay: ReadonlySet<string> = new Set(['NETWORK', 'ACCESS_DENIED', 'REPO_MISSING', 'HUB_ANSWER_INVALID', 'TOKEN_INVALID'])

/** What of a work folder belongs to fetched models: keys of units, and folders with the names of their files. */
export interface Fetched {
  readonly keys: Set<string>
  readonly folders: Set<string>
}

/** How a model of a hub is fetched. */
export interface FetchModelOptions {
  readonly work: WorkFolder
  /** Where units are run. */
  readonly executor: UnitExecutor
  /** Runs in this process what the machines of `executor` cannot reach. */
  readonly own: UnitExecutor
  readonly digests: Digests
  /** What of the work folder is in use is added. */
  readonly fetched: Fetched
  readonly signal?: AbortSignal | undefined
}

/**
 * Has the files of a model of a hub fetched by units, one for each large file, and gives them their names in a folder of the work folder.
 * Their results are named by the digests that the hub lists. With HF_HUB_OFFLINE the copy in the cache of this machine is used.
 * @param name `NS/NAME[:TAG][@REVISION]`.
 * @returns the folder of a checkpoint, or a GGUF file, of a split one the first shard.
 * @throws MqError as pullModel.
 */
export async function* fetchModel(name: string, options: FetchModelOptions): WithProgress<string> {
  const { work, executor, own, digests, fetched, signal } = options
  const { isOffline, listPull, pullModel } = await import('../../hub/index.js')
  if (isOffline()) return (yield* pullModel(name, { signal })).path
  const list = yield* listPull({ repo: name, signal })
  const { repo, commit } = list.listing
  const origin = { repo, commit }
  const { fetchBytes = defaultFetchBytes } = executor
  const small = list.files.filter(({ sizeBytes }) => sizeBytes < fetchBytes)
  const large = list.files.filter(({ sizeBytes }) => sizeBytes >= fetchBytes)
  const groups = [...large.map((file) => [file]), ...(small.length === 0 ? [] : [small])]
  const tasks = groups.map((files) => fetchTask(files, origin))
  const records = yield* runParts(tasks, orHere(executor, own), work)
  // As in the cache of huggingface_hub: metadata take the model's name from it.
  const folder = join(sourcesOf(work), `models--${repo.replaceAll('/', '--')}`, 'snapshots', commit)
  fetched.folders.add(folder)
  for (const { key, folder: from, files } of records) {
    fetched.keys.add(key)
    for (const { name: path, sha256 } of files) {
      // A relative link: workers may have the work folder at another path.
      await linkFile(join(folder, path), join(from, path))
      await digests.note(join(folder, path), sha256)
    }
  }
  await list.checkComplete(folder)
  const gguf = list.files.find(({ path }) => path.endsWith('.gguf'))
  return gguf === undefined ? folder : join(folder, gguf.path)
}

function sourcesOf({ path }: WorkFolder): string {
  return join(path, 'sources')
}

/** Copies a small file of this machine into the work folder. @returns its path there. @throws MqError FILE_UNREADABLE, DISK_FULL. */
export async function shareFile(work: WorkFolder, path: string): Promise<string> {
  const shared = join(sourcesOf(work), basename(path))
  const text = await readWhole(path, mostSharedBytes)
  // The digest of a file that stays as it is is known.
  if ((await readFile(shared, 'utf8').catch(() => undefined)) === text) return shared
  await mkdir(dirname(shared), { recursive: true })
  await writeWhole(shared, text)
  return shared
}

/** Removes the folders of other models and commits. Their files are results of units. */
export async function pruneFetched(work: WorkFolder, { folders }: Pick<Fetched, 'folders'>): Promise<void> {
  for (const model of await readdir(sourcesOf(work)).catch(() => [])) {
    const snapshots = join(sourcesOf(work), model, 'snapshots')
    for (const commit of await readdir(snapshots).catch(() => [])) {
      const folder = join(snapshots, commit)
      if (!folders.has(folder)) await rm(folder, { recursive: true, force: true })
    }
  }
}

type RemoteFiles = readonly {
  readonly path: string
  readonly sizeBytes: number
  readonly hash: { readonly algorithm: string; readonly value: string }
}[]

function fetchTask(files: RemoteFiles, origin: HubOrigin): PartTask {
  const listed = files.map(({ path, sizeBytes, hash: { algorithm, value } }) => ({ path, sizeBytes, hash: { algorithm, value } }))
  const unit: Unit = { version: '1', kind: 'fetch', options: { files: listed }, inputs: {} }
  return { unit, key: unitKey(unit), inputs: {}, origin }
}

/** Runs a unit here where workers have no way to the hub: compute nodes without a network, or without the token of the build. */
function orHere(executor: UnitExecutor, own: UnitExecutor): UnitExecutor {
  return {
    capacity: executor.capacity,
    async *run(task) {
      try {
        return yield* executor.run(task)
      } catch (error) {
        if (!(error instanceof MqError) || !ofTheWay.has(error.code)) throw error
        yield { stage: 'fetch', done: 0, total: 1, unit: 'files', notice: `${error.message} It is fetched by the build itself.` }
        return yield* own.run(task)
      }
    },
  }
}
