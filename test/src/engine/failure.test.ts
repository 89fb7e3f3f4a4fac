import { expect, test } from 'vitest'
import { errorOf, failureOf } from '../../../src/engine/failure.js'
import { MqError } from '../../../src/errors/index.js'

test('a disk that fails while a worker reads is named with its file', () => {
  const thrown = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', syscall: 'read', path: 'model.safetensors' })
  const { code, message } = MqError.from(errorOf(failureOf(thrown)), 'out.gguf')
  expect({ code, message }).toEqual({
    code: 'FILE_UNREADABLE',
    message: 'model.safetensors cannot be read: its disk reports an error.',
  })
})
