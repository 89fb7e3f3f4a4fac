import { setTimeout as sleep } from 'node:timers/promises'
import { Flags } from '@oclif/core'
import { type FarmStatus, farmMetrics, farmStatus, farmStatusText } from '../../src/farm/index.js'
import { MqCommand } from '../base-command.js'

const watchEveryMs = 3000

export default class FarmStatusCommand extends MqCommand {
  static override summary = 'Show builds, workers, units and rate of a farm.'
  static override description =
    'Asks the broker (docs/farm.md). With --metrics the output is text for Prometheus, such as for the textfile collector of its node exporter.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> --queue redis://localhost',
    '<%= config.bin %> <%= command.id %> --queue redis://localhost --watch',
    '<%= config.bin %> <%= command.id %> --queue redis://localhost --metrics',
  ]

  static override flags = {
    queue: Flags.string({
      required: true,
      helpValue: 'redis://HOST',
      description: 'Address of the Redis or Valkey server of the builds.',
    }),
    watch: Flags.boolean({ description: 'Refresh every three seconds, until Ctrl-C.', exclusive: ['json', 'metrics'] }),
    metrics: Flags.boolean({ description: 'Print metrics for Prometheus.', exclusive: ['json'] }),
  }

  override async run(): Promise<FarmStatus> {
    const { flags } = await this.parse(FarmStatusCommand)
    for (;;) {
      const status = await farmStatus(flags.queue, this.signal)
      this.log(flags.metrics ? farmMetrics(status).trimEnd() : farmStatusText(status))
      if (!flags.watch || this.signal.aborted) return status
      await sleep(watchEveryMs, undefined, { signal: this.signal }).catch(() => {})
      if (this.signal.aborted) return status
      this.log('')
    }
  }
}
