import type { Executor } from './executor.js'
import { messageExecutor } from './message-executor.js'
import type { PrepareReply, WorkerReply, WorkerSetup } from './task.js'
import { newTaskRunner } from './task-runner.js'

/** Tasks at a time: one computes while another's rows are read and a third's blocks are written. */
const capacity = 3

/**
 * Runs tasks in the calling thread, with the same bytes as worker threads write: for work that takes less time than the start of a thread
 * (small-work.ts). Between tasks, which read and write their files asynchronously, progress and signals are served.
 */
export async function inlineExecutor(setup: WorkerSetup): Promise<Executor> {
  const runner = await newTaskRunner(setup)
  const running = new Set<Promise<WorkerReply | PrepareReply>>()
  let isClosed = false
  return {
    ...messageExecutor(setup, async (message, what) => {
      if (isClosed) throw new RangeError(`${what} comes after the end of the work`)
      const reply = runner.run(message)
      running.add(reply)
      return await reply.finally(() => running.delete(reply))
    }),
    capacity,
    // Nothing but tasks runs here, so there are no other failures.
    onFailure: () => {},
    async close() {
      isClosed = true
      await Promise.allSettled(running)
      runner.close()
    },
  }
}
