import { Args, Flags } from '@oclif/core'
import { type MergeReport, mergeMatrices, mergeText } from '../../src/index.js'
import { MqCommand } from '../base-command.js'

export default class ImatrixMerge extends MqCommand {
  static override summary = 'Add importance matrices of one model up.'
  static override description =
    `Each text weighs as much as it has tokens. Files in the old .dat form, which do not say how long their chunks are, are taken to have chunks of 512 tokens.`
  static override examples = ['<%= config.bin %> <%= command.id %> english.gguf code.gguf -o both.gguf']
  static override strict = false

  static override args = {
    file: Args.string({ description: 'Importance matrices, two or more.', required: true }),
  }

  static override flags = {
    output: Flags.string({ char: 'o', description: 'File to write.', required: true }),
    force: Flags.boolean({ description: 'Replace a file that is there already.' }),
  }

  override async run(): Promise<MergeReport> {
    const { argv, flags } = await this.parse(ImatrixMerge)
    const report = await mergeMatrices(argv.map(String), flags.output, { force: flags.force })
    this.log(mergeText(report))
    return report
  }
}
