import { createRequire } from 'node:module'

/** The version of mq, as its package.json has it. */
export function mqVersion(): string {
  const { version } = createRequire(import.meta.url)('#package.json') as { version: string }
  return version
}
