/** Exports of BullMQ and ioredis that the farm uses; bundled as dist/bundles/bullmq.js and loaded through load-bullmq.ts only. */
export { DelayedError, Queue, QueueEvents, UnrecoverableError, WaitingError, Worker } from 'bullmq'
export { Redis } from 'ioredis'
