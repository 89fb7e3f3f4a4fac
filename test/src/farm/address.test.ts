import { expect, test } from 'vitest'
import { parseQueue, queueName } from '../../../src/farm/address.js'

test('an address names host, port, user, database and farm, and TLS by its scheme', () => {
  expect(parseQueue('redis://broker')).toStrictEqual({
    connection: { host: 'broker', port: 6379 },
    broker: 'broker:6379',
    farm: 'default',
  })
  expect(parseQueue('rediss://me:p%40ss@[::1]:7000/2?farm=nightly')).toStrictEqual({
    connection: { host: '::1', port: 7000, username: 'me', password: 'p@ss', db: 2, tls: {} },
    broker: '[::1]:7000',
    farm: 'nightly',
  })
})

test.each([
  ['broker:6379', 'it does not begin with redis://'],
  ['http://broker', 'it does not begin with redis://'],
  ['nothing', 'it is no address'],
  ['redis://broker/two', 'not the number of a database'],
  ['redis://broker?farm=a:b', 'a farm has a name of letters'],
])('%s is no address of a queue', (text, problem) => {
  expect(() => parseQueue(text)).toThrow(
    expect.objectContaining({ code: 'QUEUE_INVALID', message: expect.stringContaining(problem) }),
  )
})

test('a message about an address has no password', () => {
  expect(() => parseQueue('redis://me:secret@broker/two')).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('secret') }),
  )
})

test('each version and each farm has a queue of its own', () => {
  const farm = parseQueue('redis://broker')
  const names = [queueName(farm, '1'), queueName(farm, '2'), queueName(parseQueue('redis://broker?farm=b'), '1')]
  expect(new Set(names).size).toBe(3)
  expect(queueName(farm, '1')).toBe(names[0])
})
