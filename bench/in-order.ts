/** Results of jobs in their order, some of which run side by side. What has been started is waited for, whatever happens. */
export async function* inOrder<Result>(
  jobs: Iterable<() => Promise<Result>>,
  atOnce: number,
): AsyncGenerator<Result, void, void> {
  const underWay: Promise<Result>[] = []
  try {
    for (const job of jobs) {
      const started = job()
      // Its turn to be asked for may never come.
      started.catch(() => {})
      underWay.push(started)
      if (underWay.length >= atOnce) yield await (underWay.shift() as Promise<Result>)
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<Result>)
  } finally {
    await Promise.allSettled(underWay)
  }
}
