import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ownIdentity, sharedLock } from '../../../src/files/index.js'
import { temporaryFolder } from '../../support/tiny-model.js'

describe('a lock', () => {
  test('is held by one at a time, and free again when it is released', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'x.lock')
    const held = await Promise.all(Array.from({ length: 20 }, () => sharedLock(path)()))
    const [own, ...more] = held.filter((lock) => lock !== undefined)
    expect(more).toEqual([])
    expect(own?.takenFrom).toBe('nobody')
    expect(await own?.isHeld()).toBe(true)
    await own?.release()
    expect(await readdir(folder.path)).toEqual([])
    const next = await sharedLock(path)()
    expect(next?.takenFrom).toBe('nobody')
    await next?.release()
  })

  test('of a process that was killed is taken over, by one', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'x.lock')
    const script = `
      const { sharedLock } = await import(${JSON.stringify(pathToFileURL('dist/src/files/index.js').href)})
      await sharedLock(${JSON.stringify(path)})()
      console.log('held')
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    expect(await sharedLock(path)()).toBeUndefined()
    child.kill('SIGKILL')
    await once(child, 'exit')
    const held = await Promise.all(Array.from({ length: 20 }, () => sharedLock(path)()))
    const [own, ...more] = held.filter((lock) => lock !== undefined)
    expect([own?.takenFrom, more]).toEqual(['ended', []])
    await own?.release()
    expect(await readdir(folder.path)).toEqual([])
  })

  test('of another machine or container is left alone while it is young, and taken over when it is old', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'x.lock')
    // The number of a process that has ended here says nothing about another place.
    await writeFile(path, JSON.stringify({ place: 'f'.repeat(16), pid: 2 ** 22, start: '1', token: 'theirs' }))
    expect(await sharedLock(path)()).toBeUndefined()
    const old = new Date(Date.now() - 3_600_000)
    await utimes(path, old, old)
    const own = await sharedLock(path)()
    expect(own?.takenFrom).toBe('silent')
    await own?.release()
  })

  test('that another took over is not released by who had it', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'x.lock')
    const slept = await sharedLock(path)()
    const theirs = JSON.stringify({ ...(await ownIdentity()), token: 'theirs' })
    await writeFile(path, theirs)
    expect(await slept?.isHeld()).toBe(false)
    await slept?.release()
    expect(await readFile(path, 'utf8')).toBe(theirs)
  })

  test('of another kind, a link to nothing, is never taken', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'x.lock')
    await symlink('host:1:1', path)
    expect(await sharedLock(path)()).toBeUndefined()
  })
})
