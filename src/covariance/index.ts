export { type CovarianceSource, covarianceFrom } from './covariance-source.js'
export { type EmbeddingReaders, embeddingRank, embeddingWeights } from './embedding-covariance.js'
export { diagonalOf, type Expansion, expandSums } from './expand-sums.js'
export { placeRows } from './place-covariance.js'
