import { parseArgs } from 'node:util'
import { benchAction } from './action.js'
import { benchDockerfile } from './dockerfile.js'

/** `npm run bench -- ci`: runs the steps of action.yml and of the Dockerfile without a runner and without a container engine. */
export async function ci(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { base: { type: 'string' } } })
  const asked = positionals.length === 0 ? ['action', 'dockerfile'] : positionals
  for (const name of asked) {
    if (name === 'action') await benchAction(console.log)
    else if (name === 'dockerfile') await benchDockerfile(values.base, console.log)
    else throw new Error(`There is no part ${name}: it is action or dockerfile.`)
  }
}
