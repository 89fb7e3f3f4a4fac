import { Args } from '@oclif/core'
import { type MatrixStatistics, matrixStatistics, statisticsText } from '../../src/calibration/index.js'
import { MqCommand } from '../base-command.js'

export default class ImatrixShow extends MqCommand {
  static override summary = 'Show the statistics of an importance matrix, one line for each tensor.'
  static override description =
    `Token counts (also of the least used expert) and the distribution of importance over the input columns: "peak" is the largest column divided by the mean; "evenness" is exp(entropy) divided by the number of columns, 1 for a uniform distribution and near 0 where few columns dominate. Covariances are listed by input, with rank and the explained share of the trace.
Reads the GGUF format and the old .dat format.`
  static override examples = ['<%= config.bin %> <%= command.id %> imatrix.gguf']

  static override args = {
    file: Args.string({ description: 'Importance matrix file (GGUF or .dat).', required: true }),
  }

  override async run(): Promise<MatrixStatistics> {
    const { args } = await this.parse(ImatrixShow)
    const statistics = await matrixStatistics(args.file)
    this.log(statisticsText(statistics))
    return statistics
  }
}
