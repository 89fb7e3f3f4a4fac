import { Args, Flags } from '@oclif/core'
import { type MergeReport, mergeMatrices, mergeText } from '../../src/calibration/index.js'
import { MqCommand } from '../base-command.js'

export default class ImatrixMerge extends MqCommand {
  static override summary = 'Merge importance matrices of one model.'
  static override description =
    `Sums and token counts are added, so each calibration text counts by its number of tokens. Covariances are merged if every file has them, with the same rank. Files in the old .dat format store no chunk length; 512 tokens are assumed.`
  static override examples = ['<%= config.bin %> <%= command.id %> english.gguf code.gguf -o both.gguf']
  static override strict = false

  static override args = {
    file: Args.string({ description: 'Importance matrix files (GGUF or .dat), two or more.', required: true }),
  }

  static override flags = {
    output: Flags.string({ char: 'o', helpValue: 'FILE', description: 'Calibration file to write (GGUF).', required: true }),
    force: Flags.boolean({ description: 'Overwrite an existing file.' }),
  }

  override async run(): Promise<MergeReport> {
    const { argv, flags } = await this.parse(ImatrixMerge)
    const report = await mergeMatrices(argv.map(String), flags.output, { force: flags.force })
    this.log(mergeText(report))
    return report
  }
}
