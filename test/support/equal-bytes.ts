import { expect } from 'vitest'

// A setup file: toEqual looks at typed arrays element by element, which takes a second for a quarter of a million. The same bytes are equal.

const done = Symbol.for('mq test: equal bytes')

/** Files of a process share its testers. */
if (!Reflect.has(globalThis, done)) {
  Reflect.set(globalThis, done, true)
  expect.addEqualityTesters([
    (a: unknown, b: unknown): true | undefined => {
      if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined
      return Buffer.compare(bytesOf(a), bytesOf(b)) === 0 ? true : undefined
    },
  ])
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
