import { selectGguf } from '../../hub/index.js'

/** Commands by which one client downloads or runs a model. */
export interface ClientCommand {
  readonly client: string
  readonly command: string
  /** Note to show before the command. */
  readonly note?: string
}

/** The model that the commands are for. */
export interface CommandSubject {
  /** Address of the registry, such as `http://127.0.0.1:8484`. */
  readonly url: string
  /** `NAMESPACE/NAME`. */
  readonly repository: string
  readonly tag: string
  readonly paths: readonly string[]
}

/** Makes the commands for each client that can read a tag. */
export function commandsFor({ url, repository, tag, paths }: CommandSubject): ClientCommand[] {
  const { host, protocol } = new URL(url)
  const isTls = protocol === 'https:'
  const isDefault = url === 'http://127.0.0.1:8484'
  const name = `${repository}:${tag}`
  const oci = `${host}/${repository.toLowerCase()}:${tag}`
  const endpoint = isDefault ? '' : ` --endpoint ${url}`
  const chosen = selectGguf(paths)
  const [first = paths[0] ?? ''] = chosen
  // llama.cpp finds a file only if its name contains the tag.
  const isNamed = selectGguf(paths, tag).length > 0
  const forGguf: ClientCommand[] = [
    { client: 'mq', command: `mq run ${name}${endpoint} "prompt"` },
    ...(isNamed ? [{ client: 'llama.cpp', command: `HF_ENDPOINT=${url} llama-server -hf ${name}` }] : []),
    {
      client: 'Ollama',
      command: `ollama pull${isTls ? '' : ' --insecure'} ${host}/${name}\nollama run ${host}/${name}`,
      ...(chosen.length > 1 && { note: `The ${chosen.length} files are sent as one.` }),
    },
    {
      client: 'Docker Model Runner',
      command: `docker model pull ${oci}`,
      ...(isTls ? {} : { note: 'Without TLS from localhost alone.' }),
    },
  ]
  return [
    ...(chosen.length > 0 ? forGguf : [{ client: 'mq', command: `mq pull ${repository} --revision ${tag}${endpoint}` }]),
    { client: 'huggingface_hub', command: `HF_ENDPOINT=${url} hf download ${repository} --revision ${tag}` },
    {
      client: 'huggingface.js',
      command: `await snapshotDownload({ repo: '${repository}', revision: '${tag}', hubUrl: '${url}' })`,
    },
    { client: 'oras', command: `oras pull${isTls ? '' : ' --plain-http'} ${oci}` },
    { client: 'skopeo', command: `skopeo copy${isTls ? '' : ' --src-tls-verify=false'} docker://${oci} dir:${tag}` },
    {
      client: 'curl',
      command: `curl -fL -C - -O ${url}/${repository}/resolve/${tag}/${first.split('/').map(encodeURIComponent).join('/')}`,
    },
  ]
}
