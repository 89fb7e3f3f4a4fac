/** Values that callbacks put in and one reader takes out, in order. */
export interface Channel<Value> {
  put(value: Value): void
  /** Waits for the next one. */
  take(): Promise<Value>
}

export function newChannel<Value>(): Channel<Value> {
  const values: Value[] = []
  let wake = (): void => {}
  return {
    put(value) {
      values.push(value)
      wake()
    },
    async take() {
      while (values.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return values.shift() as Value
    },
  }
}
