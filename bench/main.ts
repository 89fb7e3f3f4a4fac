import { parseArgs } from 'node:util'
import { findGgmlType } from '../formats/ggml/types.js'
import { benchKernels, type KernelMeasurement } from './kernels.js'
import { benchQuality, type QualityMeasurement } from './quality.js'

/** Subcommands of `npm run bench -- NAME`; each takes its arguments and prints its results. */
const benches: Record<string, (args: string[]) => Promise<void>> = { kernels, quality }

async function kernels(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' }, types: { type: 'string' } } })
  const types = values.types?.split(',').map((name) => {
    const type = findGgmlType(name)
    if (type === undefined) throw new Error(`There is no type ${name}.`)
    return type.name
  })
  const found: KernelMeasurement[] = []
  if (values.json !== true) {
    console.log('type     data        importance    Mweights/s  ggml   speed  error  error with ggml’s weights')
  }
  for await (const measurement of benchKernels(types === undefined ? {} : { types })) {
    found.push(measurement)
    if (values.json !== true) console.log(line(measurement))
  }
  if (values.json === true) console.log(JSON.stringify(found, null, 2))
}

function line(m: KernelMeasurement): string {
  const speeds = [(m.weightsPerSecond / 1e6).toFixed(1).padStart(10), (m.peerWeightsPerSecond / 1e6).toFixed(1).padStart(6)]
  const ratios = [`${m.speedRatio.toFixed(2)}x`.padStart(7), m.errorRatio.toFixed(4), m.conventionalErrorRatio.toFixed(4)]
  return [m.type.padEnd(8), m.data.padEnd(11), m.importance.padEnd(12), ...speeds, ...ratios].join(' ')
}

async function quality(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' } } })
  const found: QualityMeasurement[] = []
  if (values.json !== true) {
    console.log(
      'sample            made by         recipe                       bits    bytes  text            perplexity     ratio',
    )
  }
  for await (const measurement of benchQuality((text) => console.error(text))) {
    found.push(measurement)
    if (values.json !== true) console.log(qualityLine(measurement))
  }
  if (values.json === true) console.log(JSON.stringify(found, null, 2))
}

function qualityLine({ sample, maker, recipe, bitsPerWeight, fileBytes, text, perplexity, ratio }: QualityMeasurement): string {
  const file = [
    sample.padEnd(16),
    maker.padEnd(14),
    recipe.padEnd(26),
    bitsPerWeight.toFixed(3).padStart(6),
    String(fileBytes).padStart(8),
  ]
  const figures = [perplexity.value.toFixed(2).padStart(10), `${ratio.value.toFixed(4)} ± ${ratio.standardError.toFixed(4)}`]
  return [...file, text.padEnd(14), ...figures].join('  ')
}

const [name, ...args] = process.argv.slice(2)
const bench = benches[name ?? '']
try {
  if (bench === undefined) throw new Error(`usage: npm run bench -- ${Object.keys(benches).join(' | ')} [--json]`)
  await bench(args)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
