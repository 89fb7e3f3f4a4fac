import { once } from 'node:events'
import { Flags } from '@oclif/core'
import { defaultHost, defaultPort, defaultRegistryDirectory, startRegistry } from '../../src/index.js'
import { MqCommand } from '../base-command.js'

export default class RegistryServe extends MqCommand {
  static override summary = 'Serve the local registry over HTTP until Ctrl-C.'
  static override description =
    `Clients of the Hugging Face hub can download from it: set HF_ENDPOINT to its address for llama.cpp (-hf NAMESPACE/NAME:TAG), huggingface_hub, hf and mq.
There is no access control: anyone who can reach the port can read every model. By default it listens on this machine only.`
  static override examples = [
    '<%= config.bin %> registry serve',
    '<%= config.bin %> registry serve --registry /srv/models --host 0.0.0.0 --port 8484',
    'HF_ENDPOINT=http://127.0.0.1:8484 llama-server -hf kjv/llama:Q4_K_M',
  ]

  static override flags = {
    registry: Flags.string({
      helpValue: 'DIR',
      description: 'Folder of the registry. [default: $MQ_REGISTRY or ~/.local/share/mq/registry]',
    }),
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
    quiet: Flags.boolean({ char: 'q', description: 'Do not log requests to stderr.' }),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(RegistryServe)
    const registry = flags.registry ?? defaultRegistryDirectory()
    const running = await startRegistry({
      registry,
      host: flags.host,
      port: flags.port,
      ...(!flags.quiet && { log: (line: string) => void process.stderr.write(`${line}\n`) }),
    })
    // Said now and not at the end, for programs that wait for the address.
    this.log(`${running.url} serves ${registry}`)
    if (this.jsonEnabled()) this.logJson({ url: running.url, port: running.port, registry })
    if (!this.signal.aborted) await once(this.signal, 'abort')
    await running.close()
  }
}
