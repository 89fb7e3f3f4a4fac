import { Args } from '@oclif/core'
import { type MatrixStatistics, matrixStatistics, statisticsText } from '../../src/index.js'
import { MqCommand } from '../base-command.js'

export default class ImatrixShow extends MqCommand {
  static override summary = 'Show what an importance matrix holds, weight by weight.'
  static override description =
    `Tokens seen, by the least used expert, too, and how unevenly the columns of the inputs are strong: "peak" is the strongest column over the mean, "evenness" 1 where all columns are alike and near 0 where few carry everything.
Reads the GGUF form and the old .dat form.`
  static override examples = ['<%= config.bin %> <%= command.id %> imatrix.gguf']

  static override args = {
    file: Args.string({ description: 'An importance matrix.', required: true }),
  }

  override async run(): Promise<MatrixStatistics> {
    const { args } = await this.parse(ImatrixShow)
    const statistics = await matrixStatistics(args.file)
    this.log(statisticsText(statistics))
    return statistics
  }
}
