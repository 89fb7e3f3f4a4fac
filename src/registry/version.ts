import { createRequire } from 'node:module'

/** Returns the version of mq from its package.json. */
export function mqVersion(): string {
  const { version } = createRequire(import.meta.url)('#package.json') as { version: string }
  return version
}
