import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { Args, Flags } from '@oclif/core'
import { MqError } from '../src/errors/index.js'
import { loadWithOffload } from '../src/load-with-offload.js'
import { locateModel } from '../src/locate-model.js'
import { defaultRegistryDirectory } from '../src/registry/index.js'
import type { LlamaModel } from '../src/runner/index.js'
import { defaultEndpointPort, serveWithLlamaServer, startEndpoint } from '../src/serve/index.js'
import { readSize } from '../src/terminal/index.js'
import { LlamaCommand } from './shared/llama-command.js'
import { llamaFlags, llamaOptionsOf } from './shared/llama-flags.js'

const defaultContext = 4096

export default class Serve extends LlamaCommand {
  static override summary = 'Serve models over an OpenAI-compatible HTTP API until Ctrl-C.'
  static override description =
    `Addresses: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/rerank, /v1/models, /health, /metrics (Prometheus). Requests are decoded together, --parallel at a time; more wait, up to --queue, beyond which they are answered with status 429.
Without a model it serves those of the local registry: each is loaded when it is first asked for, and unloaded when another needs its memory.
Anyone who can reach the port can use it unless --api-key is given. By default it listens on this machine only, and refuses requests whose Host or Origin is another.
Tools and JSON schemas need --engine llama-server, which hands over to the llama-server that is installed.`
  static override examples = [
    '<%= config.bin %> serve model-Q4_K_M.gguf',
    '<%= config.bin %> serve kjv/llama:Q4_K_M --parallel 8 -c 8192',
    '<%= config.bin %> serve --memory 40GB',
    '<%= config.bin %> serve model.gguf --engine llama-server --llama-dir /opt/llama.cpp/bin -ngl all',
  ]

  static override args = {
    model: Args.string({
      description: 'A .gguf file, or NAMESPACE/NAME[:TAG] in a registry. [default: all models of the local registry]',
    }),
  }

  static override flags = {
    host: Flags.string({
      default: '127.0.0.1',
      helpValue: 'HOST',
      description: 'Address to listen on; 0.0.0.0 for all interfaces.',
    }),
    port: Flags.integer({
      default: defaultEndpointPort,
      min: 0,
      max: 65_535,
      helpValue: 'N',
      description: 'Port to listen on; 0 for any free port.',
    }),
    'api-key': Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY',
      description: 'Key that requests need as a Bearer token; may be given several times. [default: $MQ_API_KEY, else none]',
    }),
    'api-key-file': Flags.string({ helpValue: 'FILE', description: 'File with API keys, one per line. [default: none]' }),
    ctx: Flags.integer({
      char: 'c',
      min: 8,
      max: 2 ** 24,
      helpValue: 'N',
      description: 'Context length of each request, in tokens. [default: as trained, up to 4096]',
    }),
    parallel: Flags.integer({
      default: 4,
      min: 1,
      max: 64,
      helpValue: 'N',
      description: 'Requests that are decoded together (-np).',
    }),
    queue: Flags.integer({
      default: 64,
      min: 0,
      max: 10_000,
      helpValue: 'N',
      description: 'Requests that may wait for each model.',
    }),
    memory: Flags.string({
      helpValue: 'SIZE',
      description: 'Memory for the models of the registry, such as 40GB. [default: 80 % of the memory]',
    }),
    pooling: Flags.option({
      options: ['mean', 'cls', 'last', 'rank'] as const,
      helpValue: 'mean|cls|last|rank',
      description: 'How token vectors become an embedding. [default: as the model says]',
    })(),
    ...llamaFlags,
    engine: Flags.option({
      options: ['embedded', 'llama-server'] as const,
      default: 'embedded',
      helpValue: 'embedded|llama-server',
      description: 'The embedded llama.cpp, or the llama-server that is installed.',
    })(),
    'llama-dir': Flags.string({
      helpValue: 'DIR',
      description: 'Folder of llama-server. [default: search $PATH]',
      dependsOn: ['engine'],
    }),
    endpoint: Flags.string({
      helpValue: 'URL',
      description:
        'Address of a registry to pull the model from. [default: $MQ_ENDPOINT, $HF_ENDPOINT, else the registry folder on this machine, else http://127.0.0.1:8484]',
      exclusive: ['registry'],
    }),
    registry: Flags.string({
      helpValue: 'DIR',
      description: 'Folder of a registry on this machine. [default: $MQ_REGISTRY, else ~/.local/share/mq/registry]',
    }),
    quiet: Flags.boolean({ char: 'q', description: 'Do not log requests to stderr.' }),
  }

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Serve)
    const { host, port, parallel: slots, queue, endpoint, registry, ctx: contextLength } = flags
    const load = { ...llamaOptionsOf(flags, 'serve'), pooling: flags.pooling }
    const keys = await this.#keys(flags['api-key'], flags['api-key-file'])
    const memoryBytes = flags.memory === undefined ? undefined : sizeOf(flags.memory)
    const found =
      args.model === undefined
        ? undefined
        : await this.follow(
            locateModel(await this.local(args.model, flags.endpoint), { signal: this.signal, endpoint, registry }),
          )
    const single = found === undefined ? undefined : { name: nameOf(args.model as string), path: found.path }
    if (flags.engine === 'llama-server') {
      if (single === undefined) throw MqError.of('USAGE', { problem: 'llama-server needs a model', command: 'serve' })
      const directory = flags['llama-dir']
      await serveWithLlamaServer({ ...single, host, port, keys, slots, contextLength, load, directory, signal: this.signal })
      return
    }
    const directory = registry ?? defaultRegistryDirectory()
    const running = await startEndpoint({
      serves: single ?? { registry: directory },
      load: (path: string, ended: AbortSignal): Promise<LlamaModel> =>
        loadWithOffload(path, { ...load, slots, contextLength, signal: AbortSignal.any([this.signal, ended]) }, (note) =>
          process.stderr.write(`Note: ${note}\n`),
        ),
      host,
      port,
      keys,
      slots,
      queue,
      contextLength: contextLength ?? defaultContext,
      memoryBytes,
      log: flags.quiet ? undefined : (line: string) => void process.stderr.write(`${line}\n`),
    })
    // Said now and not at the end, for programs that wait for the address.
    this.log(`${running.url}/v1 serves ${args.model ?? directory}`)
    if (this.jsonEnabled())
      this.logJson({ url: running.url, port: running.port, model: args.model, registry: single ? undefined : directory })
    if (!this.signal.aborted) await once(this.signal, 'abort')
    await running.close()
  }

  async #keys(given: readonly string[] = [process.env['MQ_API_KEY'] ?? ''], file: string | undefined): Promise<string[]> {
    const text =
      file === undefined
        ? ''
        : await readFile(file, 'utf8').catch((error: unknown) => {
            throw MqError.from(error, file)
          })
    const keys = [...given, ...text.split('\n')].map((key) => key.trim()).filter((key) => key !== '')
    if (file !== undefined && keys.length === 0) {
      throw MqError.of('FLAG_INVALID', { flag: 'api-key-file', value: file, problem: 'it has no key', command: 'serve' })
    }
    return keys
  }
}

/** Of a file its name, without folders: clients see it. */
function nameOf(model: string): string {
  return model.endsWith('.gguf') ? basename(model, '.gguf') : model
}

function sizeOf(value: string): number {
  const bytes = readSize(value)
  if (bytes !== undefined) return bytes
  throw MqError.of('FLAG_INVALID', { flag: 'memory', value, problem: 'it is not a size, such as 40GB', command: 'serve' })
}
