/**
 * What long work yields while it runs; a bar on the terminal, `--json` lines and tests consume the same stream.
 * The generator's return value is the result.
 */
export interface Progress {
  /** What is being done: `measure`, `quantize`, `download`, `perplexity` ... */
  readonly stage: string
  /** Units finished so far in this stage. */
  readonly done: number
  /** Units in this stage. */
  readonly total: number
  readonly unit: 'bytes' | 'tensors' | 'chunks' | 'tokens' | 'files' | 'runs' | 'steps'
  /** What is worked on now, such as a tensor's or file's name. */
  readonly item?: string
  /** Something to be said once although it is no error, such as why and how long it waits. */
  readonly notice?: string
}

export type WithProgress<Result> = AsyncGenerator<Progress, Result, void>

/** The same work under another stage's name. */
export async function* inStage<Result>(stage: string, work: WithProgress<Result>): WithProgress<Result> {
  for (;;) {
    const step = await work.next()
    if (step.done === true) return step.value
    yield { ...step.value, stage }
  }
}

/** Runs a stream to its end, showing each event to `onProgress`, and returns its result. */
export async function finish<Result>(work: WithProgress<Result>, onProgress?: (progress: Progress) => void): Promise<Result> {
  for (;;) {
    const step = await work.next()
    if (step.done === true) return step.value
    onProgress?.(step.value)
  }
}
