import { formatBytes, formatTable } from '../terminal/index.js'
import type { SpeedReport } from './measure.js'

/** The report as a table, as llama-bench has it. */
export function speedText({ models, against, repetitions, llamaVersion, gpus }: SpeedReport): string {
  const hasKld = models.some(({ kld }) => kld !== undefined)
  const columns = [
    { title: 'model' },
    { title: 'kind' },
    { title: 'size', align: 'right' },
    ...(hasKld ? [{ title: 'KL divergence', align: 'right' } as const] : []),
    { title: 'test' },
    { title: 'tokens/s', align: 'right' },
    { title: '±', align: 'right' },
    ...(against === undefined ? [] : [{ title: 'ratio', align: 'right' } as const, { title: '±', align: 'right' } as const]),
  ] as const
  const rows = [...models, ...(against === undefined ? [] : [against])].flatMap(
    ({ model, description, sizeBytes, kld, speeds, paired }) =>
      speeds.map(({ test, tokensPerSecond, deviation }) => {
        const pair = paired?.find((one) => one.test === test)
        return [
          model,
          description,
          formatBytes(sizeBytes),
          ...(hasKld ? [kld === undefined ? '' : kld.value.toPrecision(4)] : []),
          test,
          tokensPerSecond.toFixed(2),
          deviation.toFixed(2),
          ...(against === undefined ? [] : [pair?.ratio.toFixed(3) ?? '', pair?.standardError.toFixed(3) ?? '']),
        ]
      }),
  )
  const ratio = against === undefined ? '' : `; ratio: to ${against.model}, runs in turn, ± standard error`
  const runs = `${repetitions} ${repetitions === 1 ? 'run' : 'runs'} of each test`
  return `${formatTable(columns, rows)}\nllama.cpp ${llamaVersion}, ${gpus.length === 0 ? 'no GPU' : gpus.join(', ')}, ${runs}, ± standard deviation${ratio}.`
}
