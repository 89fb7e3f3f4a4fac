/**
 * Aborts `controller` with `parent`, until the function that it returns is called. AbortSignal.any would do, but what it returns is held
 * by nobody in Node 20: it can be collected as garbage while fetch listens to it, and the abort is lost.
 */
export function follow(controller: AbortController, parent: AbortSignal): () => void {
  const pass = (): void => controller.abort(parent.reason)
  if (parent.aborted) pass()
  parent.addEventListener('abort', pass, { once: true })
  return () => parent.removeEventListener('abort', pass)
}

/**
 * The pieces of a body until it ends; throws the reason of `signal` when that is aborted. The signal given to fetch does not do this
 * once the answer is there and nobody holds the Response any more.
 */
export async function* readBody(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  if (response.body === null) return
  const reader = response.body.getReader()
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  aborted.catch(() => {})
  signal.addEventListener('abort', stop, { once: true })
  try {
    signal.throwIfAborted()
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), aborted])
      if (done) return
      yield value as Uint8Array
    }
  } finally {
    signal.removeEventListener('abort', stop)
    void reader.cancel().catch(() => {})
  }
}
