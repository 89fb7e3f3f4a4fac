import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type PartSizes, type StepRecord, splitting, type UnitExecutor, type UnitTask, type WorkFolder } from '../build/index.js'
import { MqError } from '../errors/index.js'
import { hashFile } from '../files/index.js'
import type { Progress } from '../progress/index.js'
import { parseQueue } from './address.js'
import { openBroker } from './broker.js'
import type { Delivery, Order } from './message.js'
import { type Orders, openOrders } from './orders.js'
import { nameFolder, writeUnit } from './unit-file.js'

/** Options of a build that runs its units on a farm. */
export interface FarmOptions extends PartSizes {
  /** `redis://HOST`. */
  readonly queue: string
  /** One in so many units is computed twice, by two workers if there are two; 0 for none. */
  readonly checkEvery?: number
  readonly signal?: AbortSignal
}

/** A connection to a farm. Disposing of it removes waiting units from the queue. */
export interface Farm extends AsyncDisposable {
  /** Executor for `build`: runs units on the workers of the farm. */
  readonly executor: (work: WorkFolder) => UnitExecutor
}

/** Maximum units of a build in the queue at a time. */
const capacity = 4096
/** Time until a finished result must be visible in the work folder, in milliseconds: network file systems delay it. */
const seenWithinMs = 10_000
/** Attempts at a unit whose result does not match its digests. */
const mostAttempts = 2

/** Connects to the broker of a farm. @throws MqError QUEUE_INVALID, BROKER_UNREACHABLE. */
export async function openFarm(options: FarmOptions): Promise<Farm> {
  const broker = await openBroker(parseQueue(options.queue), options.signal)
  let orders: Promise<Orders> | undefined
  return {
    executor(work) {
      orders ??= nameFolder(work.path).then((name) =>
        openOrders(broker, { work: name, folder: work.path, signal: options.signal }),
      )
      const opened = orders
      const whole: UnitExecutor = {
        capacity,
        isRemote: true,
        fetchBytes: options.fetchBytes,
        run: (task) => runFarmed(task, work, opened, options.checkEvery ?? 0),
        cancel: () => void opened.then((orders) => orders.cancel()),
      }
      return splitting(whole, work, options)
    },
    async [Symbol.asyncDispose]() {
      await (await orders?.catch(() => undefined))?.close()
      await broker[Symbol.asyncDispose]()
    },
  }
}

async function* runFarmed(
  task: UnitTask,
  work: WorkFolder,
  opened: Promise<Orders>,
  checkEvery: number,
): ReturnType<UnitExecutor['run']> {
  const orders = await opened
  const { key, unit } = task
  await writeUnit(work.path, task)
  const order: Order = { key, kind: unit.kind, folder: work.path, work: orders.work }
  for (let attempt = 1; ; attempt++) {
    const delivery = yield* orders.deliver(order)
    try {
      const record = await accept(task, work, delivery)
      // The digests of files of a hub are those that the hub has.
      const isChecked = checkEvery > 0 && unit.kind !== 'fetch'
      if (isChecked && Number.parseInt(key.slice(0, 8), 16) % checkEvery === 0) yield* check(order, delivery, work, orders)
      return { files: record.files.map(({ name }) => name), result: record.result, record }
    } catch (error) {
      if (!(error instanceof MqError) || error.code !== 'RESULT_CORRUPT') throw error
      await work.remove(unit.kind, key)
      if (attempt >= mostAttempts) throw error
      yield { stage: 'again', done: 0, total: 1, unit: 'steps', notice: `${error.message} It is made again.` }
    }
  }
}

/** Reads the result of a unit and checks each file against its digest. @throws MqError RESULT_CORRUPT. */
async function accept({ unit, key }: UnitTask, work: WorkFolder, { worker, files }: Delivery): Promise<StepRecord> {
  const corrupt = (problem: string): MqError =>
    MqError.of('RESULT_CORRUPT', { unit: nameOf({ kind: unit.kind, key }), worker, problem })
  let record = await work.find(unit.kind, key)
  for (let waited = 0; record === undefined && waited < seenWithinMs; waited += 500) {
    await sleep(500)
    record = await work.find(unit.kind, key)
  }
  if (record === undefined) throw corrupt('it is not there')
  for (const { name, ...made } of files) {
    const found = await hashFile(join(record.folder, name)).catch(() => undefined)
    if (!isDeepStrictEqual(found, { sha256: made.sha256, sizeBytes: made.sizeBytes })) throw corrupt(name)
  }
  if (record.files.length !== files.length) throw corrupt('it has other files')
  return record
}

/** Computes a unit a second time and compares the digests. @throws MqError RESULTS_DIFFER. */
async function* check(order: Order, first: Delivery, work: WorkFolder, orders: Orders): AsyncGenerator<Progress, void, void> {
  const second = yield* orders.deliver({ ...order, check: first.worker })
  const same = isDeepStrictEqual(
    first.files.map(({ name, sha256 }) => [name, sha256]),
    second.files.map(({ name, sha256 }) => [name, sha256]),
  )
  if (same) return
  await work.remove(order.kind, order.key)
  throw MqError.of('RESULTS_DIFFER', { unit: nameOf(order), first: first.worker, second: second.worker })
}

/** Returns the name of a unit for messages: its kind and the first digits of its key. */
export function nameOf({ kind, key }: Pick<Order, 'kind' | 'key'>): string {
  return `${kind} ${key.slice(0, 8)}`
}
