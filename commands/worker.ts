import { Flags } from '@oclif/core'
import { type WorkEvent, type WorkReport, work } from '../src/farm/index.js'
import { formatSeconds } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'
import { parseSize } from './shared/quantities.js'
import { workFlags } from './shared/work-flags.js'

export default class Worker extends MqCommand {
  static override summary = 'Run work units of distributed builds (`mq build --queue`).'
  static override description =
    `Any number of workers, on machines with access to the work folder of the build and its sources, take units from Redis or Valkey (docs/farm.md). They can be started and stopped at any time: the unit of a worker that is killed is run by another. Ctrl-C or SIGTERM returns the running unit at once.
With --json each event is one line of JSON on stdout, and the last line is the report.`
  static override examples = [
    '<%= config.bin %> <%= command.id %> --queue redis://localhost',
    '<%= config.bin %> <%= command.id %> --queue redis://localhost --drain',
    '<%= config.bin %> <%= command.id %> --queue redis://broker:6379/0?farm=nightly --work /mnt/quants --threads 8',
  ]

  static override flags = {
    queue: Flags.string({
      required: true,
      helpValue: 'redis://HOST',
      description: 'Address of the Redis or Valkey server of the build.',
    }),
    work: Flags.string({
      helpValue: 'DIR',
      description: 'Path of the work folder of the build on this machine. [default: the path that the build has]',
    }),
    drain: Flags.boolean({ description: 'End when no build is running and no unit is left.' }),
    threads: workFlags.threads,
    memory: workFlags.memory,
  }

  override async run(): Promise<WorkReport> {
    const { flags } = await this.parse(Worker)
    const { queue, work: folder, drain, threads, memory } = flags
    const events = work({
      queue,
      drain,
      signal: this.signal,
      work: folder,
      threads,
      memoryBytes: memory === undefined ? undefined : parseSize(memory, 'memory', 'worker'),
    })
    for (;;) {
      const next = await events.next()
      if (next.done === true) {
        const { worker, done, givenBack, busySeconds } = next.value
        const returned = givenBack === 0 ? '' : `, ${givenBack} given back`
        this.log(`Worker ${worker}: ${done} units in ${formatSeconds(busySeconds)}${returned}.`)
        return next.value
      }
      if (this.jsonEnabled()) this.logJson(next.value)
      else this.#show(next.value)
    }
  }

  #show({ event, unit = '', seconds, problem, worker }: WorkEvent): void {
    const texts = {
      ready: `Worker ${worker ?? ''} waits for units. Ctrl-C ends it.`,
      done: `${unit.padEnd(30)} ${formatSeconds(seconds ?? 0)}`,
      known: `${unit.padEnd(30)} done before`,
      failed: `${unit.padEnd(30)} failed: ${problem ?? ''}`,
      'given-back': `${unit.padEnd(30)} given back`,
    }
    if (event !== 'started') this.log(texts[event])
  }

  /** One line for each event, so that a program can read them as they come. */
  protected override logJson(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json)}\n`)
  }
}
