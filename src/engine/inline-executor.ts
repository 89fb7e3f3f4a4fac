import type { Executor } from './executor.js'
import { sendingTasks } from './sending-tasks.js'
import type { PrepareReply, WorkerReply, WorkerSetup } from './task.js'
import { newTaskRunner } from './task-runner.js'

/** Tasks at a time: one computes while another's rows are read and a third's blocks are written. */
const capacity = 3

/**
 * Does tasks in this thread, with the same bytes as threads would write: for work that takes less time than a thread needs to start
 * (small-work.ts). Between tasks, which read and write their files asynchronously, progress and signals are served.
 */
export async function inlineExecutor(setup: WorkerSetup): Promise<Executor> {
  const runner = await newTaskRunner(setup)
  const underWay = new Set<Promise<WorkerReply | PrepareReply>>()
  let isClosed = false
  return {
    ...sendingTasks(setup, async (message, what) => {
      if (isClosed) throw new RangeError(`${what} comes after the end of the work`)
      const reply = runner.run(message)
      underWay.add(reply)
      return await reply.finally(() => underWay.delete(reply))
    }),
    capacity,
    // Nothing runs here but tasks.
    onFailure: () => {},
    async close() {
      isClosed = true
      await Promise.allSettled(underWay)
      runner.close()
    },
  }
}
