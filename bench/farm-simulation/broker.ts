import { unitVersion } from '../../src/build/index.js'
import { parseQueue, queueName } from '../../src/farm/address.js'
import { openBroker } from '../../src/farm/broker.js'
import { loadBullMq } from '../../src/farm/load-bullmq.js'
import type { Delivery } from '../../src/farm/message.js'
import { openOrders } from '../../src/farm/orders.js'
import { finish } from '../../src/progress/index.js'
import { runRedis } from '../redis.js'

/** Sends units that do nothing through a real Redis server, as a build does. @returns how many a second, and the processor time of this process, which is build and workers. */
export async function brokerThroughput(
  units: number,
  workers: number,
): Promise<{ readonly unitsPerSecond: number; readonly cpuSecondsPerUnit: number }> {
  await using redis = await runRedis()
  const address = parseQueue(redis.url)
  await using broker = await openBroker(address)
  const client = await loadBullMq()
  const delivery: Delivery = { worker: 'none', seconds: 0, files: [] }
  const running = Array.from(
    { length: workers },
    () =>
      new client.Worker(queueName(address, unitVersion()), () => Promise.resolve(delivery), {
        connection: broker.connection,
        prefix: 'mq',
        drainDelay: 1,
      }),
  )
  const orders = await openOrders(broker, { work: 'simulation', folder: '/', signal: undefined })
  const before = process.cpuUsage()
  const startedAt = performance.now()
  const limit = Math.min(units, 4096)
  let next = 0
  const deliverSome = async (): Promise<void> => {
    while (next < units) {
      const key = String(next++).padStart(64, '0').split('').reverse().join('')
      await finish(orders.deliver({ key, kind: 'quantize-part', folder: '/', work: 'simulation' }))
    }
  }
  await Promise.all(Array.from({ length: limit }, deliverSome))
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(before)
  await Promise.all(running.map((worker) => worker.close(true)))
  await orders.close()
  return { unitsPerSecond: units / seconds, cpuSecondsPerUnit: (user + system) / 1e6 / units }
}
