// The main job on the mixture-of-experts sample: one FP8 checkpoint becomes a measured, published 2.51-bit GGUF that is pulled back from
// a registry and speaks. Every step is a command that works the same outside this script.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'mq-demo-'))
const model = join(folder, 'deepseek-kjv-moe-2.51bpw.gguf')
const calibration = join(folder, 'calibration.gguf')
const registry = join(folder, 'registry')
const startedAt = performance.now()

const environment = { MQ_CACHE: join(folder, 'cache') }
const mq = (args, options = {}) =>
  execa(process.execPath, [join(root, 'bin/run.js'), ...args], { cwd: root, stdin: 'ignore', env: environment, ...options })

let server
try {
  await step('1. Calibrate', 'What goes into each weight when the model reads: how strong, and what goes together.', [
    'imatrix',
    'samples/deepseek-kjv-moe',
    '--text',
    'samples/text/kjv-calibration.txt',
    '--chunks',
    '48',
    '-o',
    calibration,
  ])
  await step('2. Quantize', 'FP8 blocks to a dynamic 2.51-bit mix, in one pass, each code making up for the errors before it.', [
    'quantize',
    'samples/deepseek-kjv-moe',
    '--bits',
    '2.51',
    '--calibration',
    calibration,
    '-o',
    model,
  ])
  await step(
    '3. Verify',
    'Perplexity and KL divergence on text that neither has seen, against the original; the gates must hold.',
    [
      'verify',
      model,
      '--against',
      'samples/deepseek-kjv-moe',
      '--text',
      'samples/text/kjv-heldout.txt',
      '--max-ppl-ratio',
      '1.05',
      '--max-kld',
      '0.05',
    ],
  )
  await step('4. Publish', 'Into a registry folder, with the report attached.', [
    'publish',
    model,
    'kjv/deepseek-moe:2.51bpw',
    '--registry',
    registry,
  ])

  announce('5. Serve', 'Over HTTP, as a Hugging Face hub is read by llama.cpp and others.', [
    'registry',
    'serve',
    '--registry',
    registry,
    '--port',
    '0',
  ])
  const url = await serve()

  await step('6. Pull and run', 'The model comes back over HTTP and speaks through llama.cpp.', [
    'run',
    'kjv/deepseek-moe:2.51bpw',
    '--endpoint',
    url,
    '--raw',
    '--temperature',
    '0',
    '--max-tokens',
    '60',
    'And it came to pass in those days, that',
  ])
  console.log(`\nDone in ${((performance.now() - startedAt) / 1000).toFixed(0)} s.`)
} catch (error) {
  console.error(`\nThe demo stopped: ${error.shortMessage ?? error.message}`)
  process.exitCode = 1
} finally {
  server?.kill('SIGTERM')
  await server?.catch(() => {})
  await rm(folder, { recursive: true, force: true })
}

function announce(title, explanation, args) {
  const shown = args.map((arg) => (arg.startsWith(folder) ? relative(folder, arg) : /\s/.test(arg) ? `"${arg}"` : arg))
  console.log(`\n\u001B[1m${title}\u001B[0m  ${explanation}\n\u001B[2m$ mq ${shown.join(' ')}\u001B[0m\n`)
}

async function step(title, explanation, args) {
  announce(title, explanation, args)
  await mq(args, { stdout: 'inherit', stderr: 'inherit' })
}

/** Starts the server and waits for the line that says where it listens. */
async function serve() {
  server = mq(['registry', 'serve', '--registry', registry, '--port', '0', '--quiet'])
  const [line] = await Promise.race([once(server.stdout, 'data'), server.then(() => [''])])
  console.log(String(line).trim())
  const url = /https?:\/\/\S+/.exec(String(line))?.[0]
  if (url === undefined) throw new Error('the registry did not start')
  return url
}
