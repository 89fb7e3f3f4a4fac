export { readReport, reportPath, type VerifyReport, writeReport } from './report.js'
export { type Estimate, perplexityOf, perplexityRatio } from './statistics.js'
