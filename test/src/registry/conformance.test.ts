import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createToken } from '../../../src/registry/index.js'
import { type Ask, ask, digestOf, ociManifest } from '../../support/push.js'
import { runningRegistry, type TestRegistry } from '../../support/running-registry.js'

/*
 * The cases of the OCI distribution specification's own conformance suite (conformance/*.go, v1.1.1), replayed in its order. The suite
 * itself is a Go program, which is not run here. docs/oci-conformance.md is the table of what this file holds.
 */

const name = 'conformance/one'
const other = 'conformance/other'
const emptyConfig = Buffer.from('{}')
const blob = randomBytes(1000)
const absent = digestOf(randomBytes(8))
let registry: TestRegistry
let token: string

beforeAll(async () => {
  registry = await runningRegistry()
  token = (await createToken(registry.directory, { name: 'suite', write: true })).token
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

const call = (path: string, options: Ask = {}): Promise<Response> => ask(registry.url, path, { token, ...options })
const upload = async (): Promise<string> =>
  (await call(`/v2/${name}/blobs/uploads/`, { method: 'POST' })).headers.get('location') as string
const withDigest = (location: string, digest: string): string =>
  `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
const pointer = (mediaType: string, bytes: Uint8Array): object => ({ mediaType, digest: digestOf(bytes), size: bytes.byteLength })
const manifestOf = (layers: readonly Uint8Array[], extra: object = {}): Buffer =>
  Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: pointer('application/vnd.oci.empty.v1+json', emptyConfig),
      layers: layers.map((layer) => pointer('application/octet-stream', layer)),
      ...extra,
    }),
  )
const manifest = manifestOf([blob])
const putManifest = (reference: string, body: Buffer = manifest): Promise<Response> =>
  call(`/v2/${name}/manifests/${reference}`, { method: 'PUT', body, headers: { 'content-type': ociManifest } })

interface Case {
  readonly workflow: 'pull' | 'push' | 'content discovery' | 'content management'
  readonly what: string
  /** Statuses that the suite takes; of what is not offered, what is answered instead. */
  readonly statuses: readonly number[]
  readonly offered?: false
  readonly run: () => Promise<Response>
  readonly check?: (response: Response) => unknown
}

const header =
  (key: string, value: unknown) =>
  (response: Response): void =>
    expect(response.headers.get(key)).toEqual(value)
const subject = { mediaType: ociManifest, digest: digestOf(manifest), size: manifest.byteLength }
const referrer = manifestOf([], { artifactType: 'application/vnd.nhl.peanut.butter.bagel', subject })

/** In the order of the suite: later cases need what earlier ones pushed. */
const cases: readonly Case[] = [
  {
    workflow: 'push',
    what: 'POST for an upload, then PUT of the whole blob',
    statuses: [201],
    run: async () => call(withDigest(await upload(), digestOf(emptyConfig)), { method: 'PUT', body: emptyConfig }),
    check: header('docker-content-digest', digestOf(emptyConfig)),
  },
  {
    workflow: 'push',
    what: 'GET of a blob that was just pushed',
    statuses: [200],
    run: () => call(`/v2/${name}/blobs/${digestOf(emptyConfig)}`),
  },
  {
    workflow: 'push',
    what: 'POST with digest, the whole blob in one request',
    statuses: [201, 202],
    run: () => call(`/v2/${name}/blobs/uploads/?digest=${digestOf(blob)}`, { method: 'POST', body: blob }),
    check: header('location', expect.stringMatching(/^http/)),
  },
  {
    workflow: 'push',
    what: 'PUT with a digest that the content has not',
    statuses: [400],
    run: async () => call(withDigest(await upload(), absent), { method: 'PUT', body: blob }),
  },
  {
    workflow: 'push',
    what: 'chunked: PATCH of the first chunk',
    statuses: [202],
    run: async () =>
      call(await upload(), { method: 'PATCH', body: blob.subarray(0, 400), headers: { 'content-range': '0-399' } }),
    check: header('range', '0-399'),
  },
  {
    workflow: 'push',
    what: 'chunked: PATCH out of order',
    statuses: [416],
    run: async () => call(await upload(), { method: 'PATCH', body: blob.subarray(400), headers: { 'content-range': '400-999' } }),
  },
  {
    workflow: 'push',
    what: 'chunked: GET of the status after the first chunk',
    statuses: [204],
    run: async () => {
      const location = await upload()
      await call(location, { method: 'PATCH', body: blob.subarray(0, 400), headers: { 'content-range': '0-399' } })
      return call(location)
    },
    check: header('range', '0-399'),
  },
  {
    workflow: 'push',
    what: 'chunked: PATCH of the second chunk, PUT to end',
    statuses: [201],
    run: async () => {
      const location = await upload()
      for (const [from, to] of [
        [0, 400],
        [400, 1000],
      ] as const)
        await call(location, {
          method: 'PATCH',
          body: blob.subarray(from, to),
          headers: { 'content-range': `${from}-${to - 1}` },
        })
      return call(withDigest(location, digestOf(blob)), { method: 'PUT' })
    },
  },
  { workflow: 'push', what: 'DELETE of an upload', statuses: [204], run: async () => call(await upload(), { method: 'DELETE' }) },
  {
    workflow: 'push',
    what: 'PUT of a manifest by tag',
    statuses: [201],
    run: () => putManifest('test0'),
    check: header('docker-content-digest', digestOf(manifest)),
  },
  { workflow: 'push', what: 'PUT of a manifest by digest', statuses: [201], run: () => putManifest(digestOf(manifest)) },
  {
    workflow: 'push',
    what: 'PUT of a manifest without layers',
    statuses: [201],
    run: () => putManifest('emptylayer', manifestOf([])),
  },
  {
    workflow: 'push',
    what: 'PUT of a manifest under a digest that is not its own',
    statuses: [400],
    run: () => putManifest(absent),
  },
  {
    workflow: 'push',
    what: 'PUT of a manifest whose blobs are not there',
    statuses: [404, 400],
    run: () => putManifest('missing', manifestOf([randomBytes(5)])),
  },
  {
    workflow: 'push',
    what: 'GET of the manifest that was pushed',
    statuses: [200],
    run: () => call(`/v2/${name}/manifests/${digestOf(manifest)}`),
  },
  {
    workflow: 'push',
    what: 'mount of a blob from another repository',
    statuses: [201, 202],
    run: () => call(`/v2/${other}/blobs/uploads/?mount=${digestOf(blob)}&from=${name}`, { method: 'POST' }),
    check: header('location', expect.stringContaining(digestOf(blob))),
  },
  {
    workflow: 'push',
    what: 'mount of a blob that is not there begins an upload',
    statuses: [202],
    run: () => call(`/v2/${other}/blobs/uploads/?mount=${absent}&from=${name}`, { method: 'POST' }),
  },
  {
    workflow: 'push',
    what: 'mount without `from`',
    statuses: [202],
    offered: false,
    run: () => call(`/v2/${other}/blobs/uploads/?mount=${digestOf(blob)}`, { method: 'POST' }),
  },
  { workflow: 'pull', what: 'GET /v2/', statuses: [200], run: () => call('/v2/') },
  {
    workflow: 'pull',
    what: 'HEAD of a blob that is not there',
    statuses: [404],
    run: () => call(`/v2/${name}/blobs/${absent}`, { method: 'HEAD' }),
  },
  { workflow: 'pull', what: 'GET of a blob that is not there', statuses: [404], run: () => call(`/v2/${name}/blobs/${absent}`) },
  {
    workflow: 'pull',
    what: 'HEAD of a blob',
    statuses: [200],
    run: () => call(`/v2/${name}/blobs/${digestOf(blob)}`, { method: 'HEAD' }),
    check: header('content-length', '1000'),
  },
  {
    workflow: 'pull',
    what: 'GET of a blob',
    statuses: [200],
    run: () => call(`/v2/${name}/blobs/${digestOf(blob)}`),
    check: async (response) => expect(Buffer.from(await response.arrayBuffer())).toEqual(blob),
  },
  {
    workflow: 'pull',
    what: 'HEAD of a manifest that is not there',
    statuses: [404],
    run: () => call(`/v2/${name}/manifests/nonexistent`, { method: 'HEAD' }),
  },
  {
    workflow: 'pull',
    what: 'GET of a manifest that is not there',
    statuses: [404],
    run: () => call(`/v2/${name}/manifests/nonexistent`),
  },
  {
    workflow: 'pull',
    what: 'HEAD of a manifest by digest',
    statuses: [200],
    run: () => call(`/v2/${name}/manifests/${digestOf(manifest)}`, { method: 'HEAD' }),
    check: header('docker-content-digest', digestOf(manifest)),
  },
  {
    workflow: 'pull',
    what: 'HEAD of a manifest by tag',
    statuses: [200],
    run: () => call(`/v2/${name}/manifests/test0`, { method: 'HEAD' }),
  },
  {
    workflow: 'pull',
    what: 'GET of a manifest by digest, byte for byte',
    statuses: [200],
    run: () => call(`/v2/${name}/manifests/${digestOf(manifest)}`),
    check: async (response) => expect(Buffer.from(await response.arrayBuffer())).toEqual(manifest),
  },
  {
    workflow: 'pull',
    what: 'GET of a manifest by tag',
    statuses: [200],
    run: () => call(`/v2/${name}/manifests/test0`),
    check: header('content-type', ociManifest),
  },
  {
    workflow: 'pull',
    what: 'errors are JSON with code and message',
    statuses: [404],
    run: () => call(`/v2/${name}/manifests/nonexistent`),
    check: async (response) =>
      expect(await response.json()).toMatchObject({ errors: [{ code: 'MANIFEST_UNKNOWN', message: expect.any(String) }] }),
  },
  {
    workflow: 'content discovery',
    what: 'GET of the tags, sorted',
    statuses: [200],
    run: () => call(`/v2/${name}/tags/list`),
    check: async (response) => expect(await response.json()).toEqual({ name, tags: ['emptylayer', 'test0'] }),
  },
  {
    workflow: 'content discovery',
    what: 'tags with n',
    statuses: [200],
    run: () => call(`/v2/${name}/tags/list?n=1`),
    check: async (response) => expect(((await response.json()) as { tags: string[] }).tags).toEqual(['emptylayer']),
  },
  {
    workflow: 'content discovery',
    what: 'tags with n and last',
    statuses: [200],
    run: () => call(`/v2/${name}/tags/list?n=1&last=emptylayer`),
    check: async (response) => expect(((await response.json()) as { tags: string[] }).tags).toEqual(['test0']),
  },
  {
    workflow: 'content discovery',
    what: 'PUT of a manifest with a subject',
    statuses: [201],
    run: () => putManifest(digestOf(referrer), referrer),
    check: header('oci-subject', digestOf(manifest)),
  },
  {
    workflow: 'content discovery',
    what: 'referrers of a digest without any',
    statuses: [200],
    run: () => call(`/v2/${name}/referrers/${absent}`),
    check: async (response) => expect(((await response.json()) as { manifests: unknown[] }).manifests).toEqual([]),
  },
  {
    workflow: 'content discovery',
    what: 'referrers of a manifest',
    statuses: [200],
    run: () => call(`/v2/${name}/referrers/${digestOf(manifest)}`),
    check: async (response) =>
      expect(((await response.json()) as { manifests: unknown[] }).manifests).toMatchObject([{ digest: digestOf(referrer) }]),
  },
  {
    workflow: 'content discovery',
    what: 'referrers with a filter of artifactType',
    statuses: [200],
    run: () => call(`/v2/${name}/referrers/${digestOf(manifest)}?artifactType=application/vnd.nhl.peanut.butter.bagel`),
    check: header('oci-filters-applied', 'artifactType'),
  },
  {
    workflow: 'content management',
    what: 'DELETE of a tag',
    statuses: [202],
    run: () => call(`/v2/${name}/manifests/emptylayer`, { method: 'DELETE' }),
  },
  {
    workflow: 'content management',
    what: 'GET of a tag that was deleted',
    statuses: [404],
    run: () => call(`/v2/${name}/manifests/emptylayer`),
  },
  {
    workflow: 'content management',
    what: 'DELETE of a manifest, with its tags',
    statuses: [202],
    run: () => call(`/v2/${name}/manifests/${digestOf(manifest)}`, { method: 'DELETE' }),
  },
  {
    workflow: 'content management',
    what: 'GET of a manifest that was deleted',
    statuses: [404],
    run: () => call(`/v2/${name}/manifests/${digestOf(manifest)}`),
  },
  {
    workflow: 'content management',
    what: 'GET of the tags after a deletion',
    statuses: [200, 404],
    run: () => call(`/v2/${name}/tags/list`),
  },
  {
    workflow: 'content management',
    what: 'DELETE of a blob',
    statuses: [405],
    offered: false,
    run: () => call(`/v2/${name}/blobs/${digestOf(blob)}`, { method: 'DELETE' }),
  },
]

describe('the conformance suite of the OCI distribution specification', () => {
  test.each(cases)('$workflow: $what', async ({ statuses, run, check }) => {
    const response = await run()
    expect(statuses).toContain(response.status)
    await check?.(response)
  })

  test('docs/oci-conformance.md is the table of these cases (npx vitest -u writes it)', async () => {
    const rows = cases.map(
      ({ workflow, what, statuses, offered }) =>
        `| ${workflow} | ${what} | ${offered === false ? `not offered: ${statuses.join(' or ')}` : `passes: ${statuses.join(' or ')}`} |`,
    )
    const lines = [
      '# OCI conformance',
      '',
      "The cases of the OCI distribution specification's conformance suite (v1.1.1) as `test/src/registry/conformance.test.ts` replays them. The",
      'suite itself, a Go program, is not run.',
      '',
      '| workflow | case | |',
      '|---|---|---|',
      ...rows,
      '',
      'A mount without `from` begins an upload, as the specification allows: a digest alone opens no repository. Blobs are deleted by',
      '`mq registry gc` alone, which knows what needs them.',
      '',
    ]
    await expect(lines.join('\n')).toMatchFileSnapshot('../../../docs/oci-conformance.md')
  })
})
