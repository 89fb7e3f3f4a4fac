import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Flags } from '@oclif/core'
import { MqError } from '../../src/errors/index.js'
import { defaultHost, defaultPort, defaultRegistryDirectory, startRegistry } from '../../src/registry/index.js'
import { readSize } from '../../src/terminal/index.js'
import { MqCommand } from '../base-command.js'
import { registryFlag } from '../shared/registry-flag.js'

export default class RegistryServe extends MqCommand {
  static override summary = 'Serve the local registry over HTTP until Ctrl-C.'
  static override description =
    `Clients of the Hugging Face hub can download from it: set HF_ENDPOINT to its address for llama.cpp (-hf NAMESPACE/NAME:TAG), huggingface_hub, hf and mq.
Anyone who can reach the port can read every model, unless --private is given; writing needs a token (\`mq registry token create --write\`). By default it listens on this machine only, and refuses requests whose Host is another.
Clients of OCI registries (skopeo, oras, Docker Model Runner, ollama) find the same models under /v2.`
  static override examples = [
    '<%= config.bin %> registry serve',
    '<%= config.bin %> registry serve --registry /srv/models --host 0.0.0.0 --port 8484',
    'HF_ENDPOINT=http://127.0.0.1:8484 llama-server -hf kjv/llama:Q4_K_M',
  ]

  static override flags = {
    ...registryFlag,
    host: Flags.string({
      default: defaultHost,
      helpValue: 'HOST',
      description: 'Address to listen on; 0.0.0.0 for all interfaces.',
    }),
    port: Flags.integer({
      default: defaultPort,
      min: 0,
      max: 65_535,
      helpValue: 'N',
      description: 'Port to listen on; 0 for any free port.',
    }),
    'max-upload': Flags.string({
      helpValue: 'SIZE',
      description: 'Largest file that can be uploaded, such as 100GB. [default: 1 TiB]',
    }),
    quota: Flags.string({
      helpValue: 'SIZE',
      description: 'Maximum size of all files together, such as 2TB; uploads beyond it are refused. [default: none]',
    }),
    private: Flags.boolean({
      description: 'Require a token for reading, too; a token of a namespace reads that namespace only.',
    }),
    'accel-redirect': Flags.string({
      helpValue: 'PREFIX',
      description:
        'Let nginx in front send files: answer with X-Accel-Redirect: PREFIX/sha256/HEX, a location with `internal` and `alias REGISTRY/blobs`. [default: none]',
    }),
    'tls-cert': Flags.string({
      helpValue: 'FILE',
      description: 'Certificate for HTTPS, PEM. [default: plain HTTP]',
      dependsOn: ['tls-key'],
    }),
    'tls-key': Flags.string({
      helpValue: 'FILE',
      description: 'Private key of the certificate, PEM. [default: none]',
      dependsOn: ['tls-cert'],
    }),
    quiet: Flags.boolean({ char: 'q', description: 'Do not log requests to stderr.' }),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(RegistryServe)
    const registry = flags.registry ?? defaultRegistryDirectory()
    const cert = flags['tls-cert']
    const key = flags['tls-key']
    const maxUpload = flags['max-upload']
    const { quota } = flags
    const accelPrefix = flags['accel-redirect']?.replace(/\/+$/, '')
    if (accelPrefix !== undefined && !/^(?:\/[\w.-]+)+$/.test(accelPrefix)) {
      const problem = 'it is not a path, such as /registry-blobs'
      throw MqError.of('FLAG_INVALID', { flag: 'accel-redirect', value: accelPrefix, problem, command: 'registry serve' })
    }
    const running = await startRegistry({
      registry,
      host: flags.host,
      port: flags.port,
      log: flags.quiet ? undefined : (line: string) => void process.stderr.write(`${line}\n`),
      maxUploadBytes: maxUpload === undefined ? undefined : sizeOf('max-upload', maxUpload),
      quotaBytes: quota === undefined ? undefined : sizeOf('quota', quota),
      isPrivate: flags.private,
      accelPrefix,
      tls: cert === undefined || key === undefined ? undefined : { cert: await readPem(cert), key: await readPem(key) },
    })
    // Said now and not at the end, for programs that wait for the address.
    this.log(`${running.url} serves ${registry}`)
    if (this.jsonEnabled()) this.logJson({ url: running.url, port: running.port, registry })
    if (!this.signal.aborted) await once(this.signal, 'abort')
    await running.close()
  }
}

async function readPem(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
}

function sizeOf(flag: string, value: string): number {
  const bytes = readSize(value)
  if (bytes !== undefined) return bytes
  const problem = 'it is not a size, such as 100GB'
  throw MqError.of('FLAG_INVALID', { flag, value, problem, command: 'registry serve' })
}
