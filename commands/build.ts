import { appendFile } from 'node:fs/promises'
import { Args, Flags } from '@oclif/core'
import {
  type BuildDryRun,
  type BuildProgress,
  type BuildReport,
  build,
  dryRunBuild,
  dryRunBuildText,
  summaryMarkdown,
} from '../src/build/index.js'
import { openFarm } from '../src/farm/index.js'
import { finish } from '../src/progress/index.js'
import { formatBytes, formatSeconds, ProgressBar } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'
import { parseSize } from './shared/quantities.js'
import { workFlags } from './shared/work-flags.js'

/** So often at most is progress written with --json. */
const eventEveryMs = 1000

export default class Build extends MqCommand {
  static override summary = 'Run a pipeline from a YAML file: calibrate, quantize, measure, check gates, publish; resumable.'
  static override description =
    `One file lists models with their sources, calibration texts, outputs, gates and publications (docs/ci.md; docs/build.schema.json for editors). Completed steps are not repeated, whatever stopped the run: results are cached in the work folder by the digests of all their inputs.
Nothing is published unless every gate has passed; a failed gate ends with exit status 5. A summary is written to the work folder as Markdown, HTML and JSON, and appended to $GITHUB_STEP_SUMMARY.
With --json each event is one line of JSON on stdout, and the last line is the report.`
  static override examples = [
    '<%= config.bin %> <%= command.id %> samples/build.yaml',
    '<%= config.bin %> <%= command.id %> samples/build.yaml --dry-run',
    '<%= config.bin %> <%= command.id %> samples/build.yaml --work /tmp/work --json',
    '<%= config.bin %> <%= command.id %> samples/build.yaml --queue redis://localhost',
  ]

  static override args = {
    file: Args.string({ required: true, description: 'Build file, YAML.' }),
  }

  static override flags = {
    queue: Flags.string({
      helpValue: 'redis://HOST',
      description:
        'Distribute the work to `mq worker` processes, on this and other machines, through Redis or Valkey (docs/farm.md). All of them need access to the work folder and the sources. [default: none, all work is done by this process]',
    }),
    'check-every': Flags.integer({
      helpValue: 'N',
      min: 1,
      dependsOn: ['queue'],
      description: 'Compute every Nth work unit twice, on two workers, and compare the bytes. [default: none]',
    }),
    work: Flags.string({
      helpValue: 'DIR',
      description: 'Folder for results of steps. [default: .mq-build beside the file]',
    }),
    threads: workFlags.threads,
    memory: workFlags.memory,
    'dry-run': Flags.boolean({
      description:
        'Show the steps with their estimated size, memory and time, and which are complete; nothing is pulled, run or written.',
      exclusive: ['prune', 'queue'],
    }),
    prune: Flags.boolean({
      description:
        'Once the build is done, remove results of the work folder that it does not use, such as those of earlier versions of the file.',
    }),
  }

  override async run(): Promise<BuildReport | BuildDryRun> {
    const { args, flags } = await this.parse(Build)
    const { work, threads, memory, prune } = flags
    const means = {
      work,
      threads,
      memoryBytes: memory === undefined ? undefined : parseSize(memory, 'memory', 'build'),
    }
    if (flags['dry-run']) {
      const planned = await this.follow(dryRunBuild({ file: args.file, signal: this.signal, ...means }))
      this.log(dryRunBuildText(planned))
      this.log(`Next: ${this.commandLine('--dry-run')}`)
      return planned
    }
    const { queue, 'check-every': checkEvery } = flags
    await using farm = queue === undefined ? undefined : await openFarm({ queue, checkEvery, signal: this.signal })
    const { report, failed } = await this.#show(
      build({ file: args.file, prune, signal: this.signal, executor: farm?.executor, ...means }),
    )
    const markdown = summaryMarkdown(report)
    const summary = process.env['GITHUB_STEP_SUMMARY']
    if (summary !== undefined && summary !== '') await appendFile(summary, markdown)
    this.log(markdown)
    this.log(`Summary: ${report.summaries.slice(0, 2).join(', ')}`)
    if (failed !== undefined) this.fail(failed)
    return report
  }

  /** Runs a build with a line for each step that ends, a bar between them, or events as JSON. */
  async #show<Result>(work: AsyncGenerator<BuildProgress, Result, void>): Promise<Result> {
    const bar = new ProgressBar()
    const isJson = this.jsonEnabled()
    let writtenAt = Number.NEGATIVE_INFINITY
    try {
      return await finish(work, (progress: BuildProgress) => {
        const { state, step = '', seconds, sizeBytes } = progress
        if (isJson) {
          if (state === undefined && performance.now() - writtenAt < eventEveryMs) return
          writtenAt = performance.now()
          this.logJson({ event: state === undefined ? 'progress' : 'step', ...progress })
          return
        }
        // Many steps are under way at a time, and each has a progress of its own.
        if (state === undefined) bar.update(progress)
        else if (state !== 'started') {
          bar.clear()
          const ended = state === 'known' ? 'done before' : `${formatBytes(sizeBytes ?? 0)} in ${formatSeconds(seconds ?? 0)}`
          this.log(`${step.padEnd(40)} ${ended}`)
        }
      })
    } finally {
      bar.clear()
    }
  }

  /** One line for each event, so that a program can read them as they come. */
  protected override logJson(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json)}\n`)
  }
}
