import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { execa } from 'execa'
import { foreign } from './foreign.js'

/** Python with torch, transformers, peft, bitsandbytes and compressed-tensors: $MQ_PEFT_PYTHON, else that of the foreign programs. */
const own = process.env['MQ_PEFT_PYTHON']
const reason =
  own !== undefined || existsSync(`${foreign.root}/opt/peft`)
    ? undefined
    : `SKIPPED, no peft in ${foreign.root}; or set MQ_PEFT_PYTHON`

export const python = {
  available: own !== undefined || (foreign.available && reason === undefined),
  /** For titles of tests: says why they are skipped. */
  name: own ?? (foreign.available ? (reason ?? foreign.name) : foreign.name),
  /** Runs a script in a folder, the only one that it sees, and returns what it wrote. @throws ExecaError */
  async run(script: string, args: readonly string[], cwd: string): Promise<string> {
    const text = await readFile(script, 'utf8')
    const options = { cwd, timeout: 280_000, env: { OMP_NUM_THREADS: '1', PYTHONPATH: '/opt/peft:/opt/mistral-common' } }
    if (own === undefined) return (await foreign.python(text, args, options)).stdout
    return (await execa(own, ['-c', text, ...args], { ...options, env: { OMP_NUM_THREADS: '1' }, stdin: 'ignore' })).stdout
  },
}
