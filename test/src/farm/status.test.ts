import { describe, expect, test } from 'vitest'
import { redisServer, runRedis } from '../../../bench/redis.js'
import { unitVersion } from '../../../src/build/index.js'
import { parseQueue, queueName } from '../../../src/farm/address.js'
import { openBroker } from '../../../src/farm/broker.js'
import { farmMetrics, farmStatus, farmStatusText } from '../../../src/farm/index.js'
import { sayPresent } from '../../../src/farm/presence.js'

describe.skipIf(!redisServer.available)(`the status of a farm (${redisServer.name})`, { timeout: 60_000 }, () => {
  test('counts what waits, and knows who is there', async () => {
    await using redis = await runRedis()
    await using broker = await openBroker(parseQueue(redis.url))
    const shared = { host: 'h"1', pid: 7, startedAt: '' }
    const worker = { ...shared, threads: 2, failed: 1 }
    await sayPresent(broker, 'build', 'b', { ...shared, version: unitVersion(), work: 'b', folder: '/work', waiting: 3, done: 5 })
    await sayPresent(broker, 'worker', 'w1', {
      ...worker,
      version: unitVersion(),
      id: 'w1',
      done: 4,
      busySeconds: 8,
      unit: 'plan 01',
    })
    await sayPresent(broker, 'worker', 'w2', { ...worker, version: '0.0.1', id: 'w2', done: 0, busySeconds: 0 })
    const queue = new broker.client.Queue(queueName(broker.address, unitVersion()), {
      connection: broker.connection,
      prefix: 'mq',
    })
    await queue.addBulk([1, 2, 3].map((name) => ({ name: `${name}`, data: {} })))
    await queue.close()

    const status = await farmStatus(redis.url)
    expect(status).toMatchObject({
      units: { waiting: 3, active: 0, delayed: 0 },
      done: 4,
      failed: 2,
      unitsPerMinute: 30,
      secondsLeft: 6,
    })
    const text = farmStatusText(status)
    expect(text).toContain('1 builds, 2 workers; 3 units wait, 0 run; 30.0 units a minute')
    expect(text).toMatch(/w1 .*plan 01/)
    expect(text).toMatch(/w2 .*runs mq 0\.0\.1/)
    const metrics = farmMetrics(status)
    expect(metrics).toContain('# TYPE mq_farm_units gauge\nmq_farm_units{farm="default",state="waiting"} 3\n')
    expect(metrics).toContain(
      `mq_farm_worker_units_done_total{farm="default",worker="w1",host="h\\"1",version="${unitVersion()}"} 4\n`,
    )
  })
})
