import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Flags } from '@oclif/core'
import {
  defaultFarmPort,
  type FarmPageOptions,
  type FarmStatus,
  farmMetrics,
  farmStatus,
  farmStatusText,
  startFarmPage,
} from '../../src/farm/index.js'
import { MqCommand } from '../base-command.js'

const watchEveryMs = 3000

export default class FarmStatusCommand extends MqCommand {
  static override summary = 'Show builds, workers, units and rate of a farm.'
  static override description =
    'Asks the broker (docs/farm.md). With --metrics the output is text for Prometheus, such as for the textfile collector of its node exporter.\nWith --serve it is a page that updates itself, with /metrics and /status.json beside it, until Ctrl-C. Anyone who can reach the port can read it; by default it listens on this machine only.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> --queue redis://localhost',
    '<%= config.bin %> <%= command.id %> --queue redis://localhost --watch',
    '<%= config.bin %> <%= command.id %> --queue redis://localhost --metrics',
    '<%= config.bin %> <%= command.id %> --queue redis://localhost --serve',
  ]

  static override flags = {
    queue: Flags.string({
      required: true,
      helpValue: 'redis://HOST',
      description: 'Address of the Redis or Valkey server of the builds.',
    }),
    watch: Flags.boolean({ description: 'Refresh every three seconds, until Ctrl-C.', exclusive: ['json', 'metrics'] }),
    metrics: Flags.boolean({ description: 'Print metrics for Prometheus.', exclusive: ['json'] }),
    serve: Flags.boolean({
      description: 'Serve the status as a page over HTTP, until Ctrl-C.',
      exclusive: ['watch', 'metrics'],
    }),
    host: Flags.string({
      helpValue: 'HOST',
      description: 'Address to listen on with --serve; 0.0.0.0 for all interfaces. [default: 127.0.0.1]',
      dependsOn: ['serve'],
    }),
    port: Flags.integer({
      min: 0,
      max: 65_535,
      helpValue: 'N',
      description: `Port to listen on with --serve; 0 for any free port. [default: ${defaultFarmPort}]`,
      dependsOn: ['serve'],
    }),
  }

  override async run(): Promise<FarmStatus | undefined> {
    const { flags } = await this.parse(FarmStatusCommand)
    if (flags.serve) return await this.#serve(flags)
    for (;;) {
      const status = await farmStatus(flags.queue, this.signal)
      this.log(flags.metrics ? farmMetrics(status).trimEnd() : farmStatusText(status))
      if (!flags.watch || this.signal.aborted) return status
      await sleep(watchEveryMs, undefined, { signal: this.signal }).catch(() => {})
      if (this.signal.aborted) return status
      this.log('')
    }
  }

  async #serve({ queue, host, port }: Pick<FarmPageOptions, 'queue' | 'host' | 'port'>): Promise<undefined> {
    const running = await startFarmPage({ queue, host, port, signal: this.signal })
    // Said now and not at the end, for programs that wait for the address.
    this.log(`${running.url} shows the farm at ${new URL(queue).host}`)
    if (this.jsonEnabled()) this.logJson({ url: running.url, port: running.port })
    if (!this.signal.aborted) await once(this.signal, 'abort')
    await running.close()
    return undefined
  }
}
