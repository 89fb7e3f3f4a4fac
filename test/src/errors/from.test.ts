import { describe, expect, it } from 'vitest'
import { MqError } from '../../../src/errors/index.js'

const nodeError = (code: string, path: string, syscall = 'open'): Error => Object.assign(new Error(code), { code, path, syscall })

describe('MqError.from', () => {
  it.each([
    ['EACCES', '/out/x.gguf.partial', 'open', '/out/x.gguf cannot be written: permission denied.'],
    [
      'EROFS',
      '/out/x.json.0b5fbb6e-8d3f-4a35-9d5e-30e4b4a2b0d1.partial',
      'open',
      '/out/x.json cannot be written: its disk is read-only.',
    ],
    ['ENOENT', '/out/x.gguf.partial', 'open', '/out/x.gguf cannot be written: its folder does not exist.'],
    ['EACCES', '/out/new', 'mkdir', '/out/new cannot be written: permission denied.'],
    ['EACCES', '/in/model.safetensors', 'open', '/in/model.safetensors cannot be read: permission denied.'],
    ['ENOENT', '/in/model.safetensors', 'open', '/in/model.safetensors does not exist.'],
  ])('says of %s at %s (%s) whether it was writing', (code, path, syscall, message) => {
    expect(MqError.from(nodeError(code, path, syscall)).message).toBe(message)
  })
})
