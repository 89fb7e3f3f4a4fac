import { expositionText, type MetricSample } from '../report/index.js'
import type { Generated } from '../runner/index.js'

/** Counters of a server since its start, for Prometheus. */
export interface Metrics {
  request(address: string, status: number, seconds: number): void
  generated(model: string, generated: Generated): void
  cancelled(): void
  /** Returns the metrics in exposition format 0.0.4. @param gauges names, descriptions and current values. */
  text(gauges: readonly (readonly [name: string, help: string, value: number])[]): string
}

export function createMetrics(): Metrics {
  const counters = new Map<string, { readonly help: string; readonly samples: Map<string, MetricSample> }>()
  const add = (name: string, help: string, labels: Readonly<Record<string, string>>, value: number): void => {
    const counter = counters.get(name) ?? { help, samples: new Map<string, MetricSample>() }
    counters.set(name, counter)
    const key = JSON.stringify(labels)
    counter.samples.set(key, { labels, value: (counter.samples.get(key)?.value ?? 0) + value })
  }
  return {
    request(address, status, seconds) {
      add('mq_requests_total', 'Requests answered.', { address, status: String(status) }, 1)
      add('mq_request_seconds_total', 'Time from requests to the ends of their answers.', { address }, seconds)
    },
    generated(model, { tokens, promptTokens, cachedTokens, seconds, promptSeconds }) {
      add('mq_prompt_tokens_total', 'Tokens of prompts.', { model }, promptTokens)
      add('mq_prompt_tokens_cached_total', 'Tokens of prompts that were not computed again.', { model }, cachedTokens)
      add('mq_prompt_seconds_total', 'Time that completions spent on their prompts.', { model }, promptSeconds)
      add('mq_generated_tokens_total', 'Tokens generated.', { model }, tokens)
      add('mq_generation_seconds_total', 'Time that completions spent on generating.', { model }, seconds)
    },
    cancelled() {
      add('mq_requests_cancelled_total', 'Requests whose client went away.', {}, 1)
    },
    text(gauges) {
      return expositionText([
        ...[...counters].map(([name, { help, samples }]) => ({
          name,
          kind: 'counter' as const,
          help,
          samples: [...samples.values()],
        })),
        ...gauges.map(([name, help, value]) => ({ name, kind: 'gauge' as const, help, samples: [{ labels: {}, value }] })),
      ])
    },
  }
}
