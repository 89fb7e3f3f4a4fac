/** The queue's client, as dist/bundles/bullmq.js has it: loaded through load-bullmq.ts alone. */
export { DelayedError, Queue, QueueEvents, UnrecoverableError, WaitingError, Worker } from 'bullmq'
export { Redis } from 'ioredis'
