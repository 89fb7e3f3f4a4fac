import { join } from 'node:path'
import { finish } from '../../src/progress/index.js'
import {
  type PublishOptions,
  publish,
  type RegistryOptions,
  type RunningRegistry,
  startRegistry,
} from '../../src/registry/index.js'
import { temporaryFolder } from './tiny-model.js'

export interface TestRegistry extends AsyncDisposable {
  readonly url: string
  /** A folder for the test's own files. */
  readonly folder: string
  /** The registry's folder. */
  readonly directory: string
  readonly log: readonly string[]
  publish(options: Omit<PublishOptions, 'registry'>): Promise<unknown>
}

/** A registry on a free port over a fresh folder. */
export async function runningRegistry(options: Omit<RegistryOptions, 'registry'> = {}): Promise<TestRegistry> {
  const folder = await temporaryFolder()
  const directory = join(folder.path, 'registry')
  const log: string[] = []
  const server: RunningRegistry = await startRegistry({
    registry: directory,
    port: 0,
    log: (line) => log.push(line),
    ...options,
  })
  return {
    url: server.url,
    folder: folder.path,
    directory,
    log,
    publish: (options) => finish(publish({ ...options, registry: directory })),
    async [Symbol.asyncDispose]() {
      await server.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}
