import { workerData } from 'piscina'
import type { PrepareReply, WorkerMessage, WorkerReply, WorkerSetup } from './task.js'
import { newTaskRunner } from './task-runner.js'

// The module that each worker thread of thread-executor.ts runs. Its files are closed when the thread ends.

const runner = await newTaskRunner(workerData as WorkerSetup)

/** Does one task: see TaskRunner. */
export default function run(message: WorkerMessage): Promise<WorkerReply | PrepareReply> {
  return runner.run(message)
}
