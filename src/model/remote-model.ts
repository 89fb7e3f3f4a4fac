import { join } from 'node:path'
import type { ByteSource } from '../../formats/byte-source.js'
import { MqError } from '../errors/index.js'
import {
  type ConnectOptions,
  connect,
  type HubClient,
  hubEndpoint,
  type Listing,
  listModel,
  parseRemoteName,
  rangeSource,
  selectCheckpoint,
  selectGguf,
} from '../hub/index.js'
import { type CheckpointFolder, checkSmallFile } from './checkpoint/index.js'
import { type RemoteShards, remoteShards } from './remote-shards.js'

/** A model of which headers and small files are read over HTTP, and no weights. */
export type RemoteModel =
  | { readonly kind: 'checkpoint'; readonly folder: CheckpointFolder }
  | { readonly kind: 'gguf'; readonly path: string; readonly open: (path: string) => Promise<ByteSource> }

/**
 * Opens a remote model.
 * @param name `hf:NS/NAME[:TAG][@REVISION]` at the endpoint; an address of a repository, `https://HOST/NS/NAME`, with `/tree/REVISION` or
 * without; or the address of a .gguf file.
 * @throws MqError NAME_INVALID, REPO_MISSING, MODEL_NOT_FOUND, CHECKPOINT_EMPTY, NETWORK, HUB_ANSWER_INVALID.
 */
export async function openRemoteModel(name: string, options: ConnectOptions = {}): Promise<RemoteModel> {
  if (!/^hf:/i.test(name)) return openAddress(name, options)
  const client = await connect(options, hubEndpoint())
  return openRepository(client, name.slice('hf:'.length))
}

async function openAddress(address: string, options: ConnectOptions): Promise<RemoteModel> {
  if (!URL.canParse(address)) throw MqError.of('NAME_INVALID', { name: address.slice(0, 200), problem: 'it is not a valid URL' })
  const url = new URL(address)
  if (url.pathname.endsWith('.gguf')) {
    const client = await connect({ ...options, endpoint: url.origin }, url.origin)
    return { kind: 'gguf', path: `${url.origin}${url.pathname}`, open: (path) => rangeSource(client, path) }
  }
  const [, base = '', repo = '', revision] = /^(.*?)\/([^/]+\/[^/]+?)(?:\/tree\/(.+?))?\/?$/.exec(url.pathname) ?? []
  const client = await connect({ ...options, endpoint: `${url.origin}${base}` }, url.origin)
  return openRepository(client, revision === undefined ? repo : `${repo}@${revision}`)
}

async function openRepository(client: HubClient, name: string): Promise<RemoteModel> {
  const parsed = parseRemoteName(name)
  const { repo } = parsed
  const { listing, tag } = await listModel(client, parsed)
  const paths = listing.files.map(({ path }) => path)
  if (tag === undefined && paths.some((path) => path.endsWith('.safetensors'))) {
    return { kind: 'checkpoint', folder: remoteFolder(client, listing, selectCheckpoint(paths)) }
  }
  const [first] = selectGguf(paths, tag)
  if (first !== undefined) {
    return { kind: 'gguf', path: addressOf(client, listing, first), open: (path) => openListed(client, listing, path) }
  }
  throw tag === undefined
    ? MqError.of('CHECKPOINT_EMPTY', { path: repo, problem: 'it has neither *.safetensors nor *.gguf' })
    : MqError.of('MODEL_NOT_FOUND', { name: `${repo}:${tag}`, registry: client.endpoint })
}

/** A checkpoint of a hub of which headers are read, and whose weight files can come one by one. */
export interface StreamedCheckpoint {
  readonly folder: CheckpointFolder
  /** @param addresses or paths of the blueprint's files. @param directory where they are to lie while they are here. */
  shardsIn(addresses: readonly string[], directory: string): { readonly shards: RemoteShards; readonly files: readonly string[] }
}

/** Opens a checkpoint to be streamed. @param name `hf:NS/NAME[@REVISION]`. @throws MqError as openRemoteModel. */
export async function openStreamedCheckpoint(name: string, options: ConnectOptions = {}): Promise<StreamedCheckpoint> {
  const client = await connect(options, hubEndpoint())
  const parsed = parseRemoteName(name.replace(/^hf:/i, ''))
  const { listing } = await listModel(client, parsed)
  const names = selectCheckpoint(listing.files.map(({ path }) => path))
  const byAddress = new Map(names.map((path) => [addressOf(client, listing, path), path]))
  return {
    folder: remoteFolder(client, listing, names),
    shardsIn(addresses, directory) {
      const paths = addresses.map((address) => byAddress.get(address))
      const files = addresses.map((address, index) => (paths[index] === undefined ? address : join(directory, paths[index])))
      return { shards: remoteShards(client, listing, paths, directory), files }
    },
  }
}

function remoteFolder(client: HubClient, listing: Listing, names: readonly string[]): CheckpointFolder {
  const pathOf = (name: string): string => addressOf(client, listing, name)
  return {
    path: `${client.endpoint}/${listing.repo}`,
    modelId: listing.repo,
    pathOf,
    names: async () => names,
    open: (name) => openListed(client, listing, pathOf(name)),
    async readBytes(name) {
      if (!names.includes(name)) return undefined
      const source = await openListed(client, listing, pathOf(name))
      try {
        return await checkSmallFile(source.name, source.byteLength, () => source.slice(0, source.byteLength))
      } finally {
        await source.close()
      }
    },
  }
}

function addressOf({ endpoint }: HubClient, { repo, commit }: Listing, path: string): string {
  return `${endpoint}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
}

async function openListed(client: HubClient, listing: Listing, address: string): Promise<ByteSource> {
  const file = listing.files.find(({ path }) => addressOf(client, listing, path) === address)
  if (file === undefined) throw Object.assign(new Error(`${address} is missing`), { code: 'ENOENT', path: address })
  return rangeSource(client, address, file.sizeBytes)
}
