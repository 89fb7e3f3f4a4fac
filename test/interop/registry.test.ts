import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openGguf } from '../../formats/gguf/index.js'
import { finish } from '../../src/progress/index.js'
import { createToken, publishToTarget } from '../../src/registry/index.js'
import { sha256 } from '../support/digests.js'
import { foreign } from '../support/foreign.js'
import { runMqHere } from '../support/run-mq-here.js'
import { runningRegistry, type TestRegistry } from '../support/running-registry.js'

const sample = 'samples/llama-kjv'

const serveAndChat = `
import json, socket, subprocess, sys, time, urllib.request
with socket.socket() as free:
    free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
log = open("llama-server.log", "w")
flags = ["-hf", "kjv/llama:F16", "--host", "127.0.0.1", "--port", str(port), "-c", "256", "-t", "2", "--no-webui"]
server = subprocess.Popen(["llama-server", *flags], stdout=log, stderr=log)
def get(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer: return json.load(answer)
try:
    deadline = time.time() + 90
    while True:
        if server.poll() is not None or time.time() > deadline: sys.exit(open("llama-server.log").read())
        try:
            if get("/health")["status"] == "ok": break
        except Exception: time.sleep(0.1)
    chat = {"messages": [{"role": "user", "content": "In the beginning"}], "max_tokens": 8, "temperature": 0}
    print(json.dumps(get("/v1/chat/completions", chat)))
finally:
    server.terminate(); server.wait()`

const listOfRouter = `
import json, socket, subprocess, sys, time, urllib.request
with socket.socket() as free:
    free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
log = open("router.log", "w")
server = subprocess.Popen(["llama-server", "--models-dir", sys.argv[1], "--host", "127.0.0.1", "--port", str(port), "--no-webui"], stdout=log, stderr=log)
try:
    deadline = time.time() + 60
    while True:
        if server.poll() is not None or time.time() > deadline: sys.exit(open("router.log").read())
        try:
            print(urllib.request.urlopen(f"http://127.0.0.1:{port}/models", timeout=10).read().decode()); break
        except OSError: time.sleep(0.1)
finally:
    server.terminate(); server.wait()`

describe.skipIf(!foreign.available)(`the registry and programs that are not ours (${foreign.name})`, () => {
  let registry: TestRegistry
  let gguf: Buffer

  beforeAll(async () => {
    // Small parts, so that clients that can upload a file in parts do.
    registry = await runningRegistry({ partBytes: 1 << 20 })
    const path = join(registry.folder, 'llama-kjv-F16.gguf')
    const { exitCode, stderr } = await runMqHere(['convert', sample, '--type', 'f16', '-o', path])
    if (exitCode !== 0) throw new Error(stderr)
    gguf = await readFile(path)
    await registry.publish({ source: path, name: 'kjv/llama' })
    await registry.publish({ source: sample, name: 'kjv/llama' })
  })

  afterAll(async () => {
    await registry[Symbol.asyncDispose]()
  })

  describe.skipIf(!foreign.has('python3'))('huggingface_hub', () => {
    test('takes a snapshot, one file, and the list of files', async () => {
      const { stdout } = await foreign.python(
        `
import hashlib, json, os, sys
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
folder = snapshot_download("kjv/llama")
digest = lambda path: hashlib.sha256(open(path, "rb").read()).hexdigest()
errors = []
for wrong in (dict(repo_id="kjv/none", filename="a"), dict(repo_id="kjv/llama", filename="a"), dict(repo_id="kjv/llama", filename="config.json", revision="none")):
    try: hf_hub_download(**wrong)
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error: errors.append(type(error).__name__)
api = HfApi()
info = api.model_info("kjv/llama", files_metadata=False)
paths = api.get_paths_info("kjv/llama", ["config.json"], expand=True)
refs = api.list_repo_refs("kjv/llama")
print(json.dumps({
    "files": {name: digest(os.path.join(folder, name)) for name in sorted(os.listdir(folder))},
    "tagged": digest(hf_hub_download("kjv/llama", "llama-F16.gguf", revision="F16")),
    "listed": api.list_repo_files("kjv/llama", revision="F16"),
    "models": [model.id for model in api.list_models(author="kjv")],
    "sha": [info.sha, os.path.basename(folder), refs.branches[0].target_commit, paths[0].last_commit.oid],
    "errors": errors,
}))`,
        [],
        {
          cwd: registry.folder,
          env: { HF_ENDPOINT: registry.url, HF_HOME: join(registry.folder, 'hf'), HF_HUB_DISABLE_XET: '1' },
        },
      )
      const seen = JSON.parse(stdout.trim().split('\n').at(-1) as string)
      expect(seen.files['llama-F16.gguf']).toBe(sha256(gguf))
      expect(seen.files['model.safetensors']).toBe(sha256(await readFile(join(sample, 'model.safetensors'))))
      expect(seen).toMatchObject({ tagged: sha256(gguf), listed: ['llama-F16.gguf'], models: ['kjv/llama'] })
      expect(new Set(seen.sha).size).toBe(1)
      expect(seen.errors).toEqual(['RepositoryNotFoundError', 'EntryNotFoundError', 'RevisionNotFoundError'].map(isKindOf))
    })
  })

  describe.skipIf(!foreign.has('skopeo'))('skopeo', () => {
    test('reads the layout on disk and the manifest over HTTP, the same bytes', async () => {
      const cwd = registry.folder
      const onDisk = await foreign.run('skopeo', ['inspect', '--raw', 'oci:registry/repositories/kjv/llama:F16'], { cwd })
      const manifest = JSON.parse(onDisk.stdout)
      expect(manifest.layers).toMatchObject([{ digest: `sha256:${sha256(gguf)}`, size: gguf.byteLength }])
      const address = `docker://${new URL(registry.url).host}/kjv/llama:F16`
      const served = await foreign.run('skopeo', ['inspect', '--raw', '--tls-verify=false', address], { cwd })
      expect(served.stdout).toBe(onDisk.stdout)
    })

    test('copies a model out of the layout', async () => {
      const cwd = registry.folder
      await foreign.run('skopeo', ['copy', 'oci:registry/repositories/kjv/llama:F16', 'dir:copied'], { cwd })
      expect(sha256(await readFile(join(cwd, 'copied', sha256(gguf))))).toBe(sha256(gguf))
    })
  })

  describe.skipIf(!foreign.has('oras'))('oras', () => {
    test('pulls files under their names, from the layout and over HTTP', async () => {
      const cwd = registry.folder
      const places = [
        ['disk', '--oci-layout', 'registry/repositories/kjv/llama:F16'],
        ['http', '--plain-http', `${new URL(registry.url).host}/kjv/llama:F16`],
      ] as const
      for (const [output, flag, reference] of places) {
        await foreign.run('oras', ['pull', flag, reference, '-o', output], { cwd })
        expect(sha256(await readFile(join(cwd, output, 'llama-F16.gguf')))).toBe(sha256(gguf))
      }
      const tags = await foreign.run('oras', ['repo', 'tags', '--oci-layout', 'registry/repositories/kjv/llama'], { cwd })
      expect(tags.stdout.trim().split('\n').sort()).toEqual(['F16', 'main'])
    })
  })

  describe('clients that write', () => {
    let token: string

    beforeAll(async () => {
      token = (await createToken(registry.directory, { name: 'clients', write: true, namespaces: ['kjv'] })).token
    })

    async function served(path: string): Promise<string> {
      const response = await fetch(`${registry.url}${path}`)
      expect(response.status).toBe(200)
      return sha256(Buffer.from(await response.arrayBuffer()))
    }

    test.skipIf(!foreign.has('python3'))(
      'huggingface_hub makes a repository, uploads files and a folder, and deletes',
      async () => {
        const { stdout } = await foreign.python(
          `
import json, os
from huggingface_hub import HfApi, hf_hub_download
api = HfApi(token=os.environ["TOKEN"])
api.create_repo("kjv/python")
api.create_repo("kjv/python", exist_ok=True)
api.upload_file(path_or_fileobj="llama-kjv-F16.gguf", path_in_repo="llama-F16.gguf", repo_id="kjv/python")
os.makedirs("up/sub", exist_ok=True)
open("up/README.md", "w").write("---\\nlicense: mit\\n---\\n# A model\\n")
open("up/sub/a.txt", "w").write("a")
api.upload_folder(folder_path="up", repo_id="kjv/python")
before = sorted(api.list_repo_files("kjv/python"))
api.delete_file("sub/a.txt", repo_id="kjv/python")
open("new.bin", "wb").write(os.urandom((3 << 20) + 1))
api.create_repo("kjv/parts")
api.upload_file(path_or_fileobj="new.bin", path_in_repo="new.bin", repo_id="kjv/parts")
print(json.dumps([before, sorted(api.list_repo_files("kjv/python")), hf_hub_download("kjv/python", "llama-F16.gguf")]))`,
          [],
          {
            cwd: registry.folder,
            env: { HF_ENDPOINT: registry.url, HF_HOME: join(registry.folder, 'hf-write'), HF_HUB_DISABLE_XET: '1', TOKEN: token },
          },
        )
        const [before, after] = JSON.parse(stdout.trim().split('\n').at(-1) as string)
        expect(before).toEqual(['README.md', 'llama-F16.gguf', 'sub/a.txt'])
        expect(after).toEqual(['README.md', 'llama-F16.gguf'])
        expect(await served('/kjv/python/resolve/main/llama-F16.gguf')).toBe(sha256(gguf))
        expect(await served('/kjv/parts/resolve/main/new.bin')).toBe(sha256(await readFile(join(registry.folder, 'new.bin'))))
        expect(
          registry.log.filter((line) => /^PUT \/lfs\/kjv\/parts\/[0-9a-f]{64}\/parts\/\d+/.test(line)).length,
        ).toBeGreaterThan(2)
      },
    )

    test.skipIf(!foreign.has('skopeo'))('skopeo copies a model in, byte for byte', async () => {
      const cwd = registry.folder
      const address = `docker://${new URL(registry.url).host}/kjv/skopeo:F16`
      const flags = ['--dest-tls-verify=false', '--dest-creds', `any:${token}`]
      await foreign.run('skopeo', ['copy', ...flags, 'oci:registry/repositories/kjv/llama:F16', address], { cwd })
      const [source, copied] = await Promise.all(['llama', 'skopeo'].map((name) => served(`/v2/kjv/${name}/manifests/F16`)))
      expect(copied).toBe(source)
      expect(await served('/kjv/skopeo/resolve/F16/llama-F16.gguf')).toBe(sha256(gguf))
    })

    test.skipIf(!foreign.has('oras'))('oras pushes files, and is refused without a token', async () => {
      const cwd = registry.folder
      const { host } = new URL(registry.url)
      const file = 'llama-kjv-F16.gguf:application/vnd.docker.ai.gguf.v3'
      const push = (name: string, ...flags: string[]): Promise<unknown> =>
        foreign.run('oras', ['push', '--plain-http', ...flags, `${host}/${name}`, file], { cwd })
      await push('kjv/oras:F16', '-u', 'any', '-p', token)
      expect(await served('/kjv/oras/resolve/main/llama-kjv-F16.gguf')).toBe(sha256(gguf))
      await expect(push('kjv/refused:F16')).rejects.toThrow(/401|unauthorized|basic credential/i)
      await expect(push('other/refused:F16', '-u', 'any', '-p', token)).rejects.toThrow(/403|denied/i)
    })
  })

  describe.skipIf(!existsSync('/usr/bin/curl'))('curl', () => {
    test('goes on with a file that was cut off', async () => {
      const path = join(registry.folder, 'curl.gguf')
      await writeFile(path, gguf.subarray(0, 1_000_001))
      await execa('curl', ['-sfL', '-C', '-', '-o', path, `${registry.url}/kjv/llama/resolve/F16/llama-F16.gguf`])
      expect(sha256(await readFile(path))).toBe(sha256(gguf))
      expect(registry.log.at(-1)).toMatch(/\[bytes=1000001-\] 206 /)
    })
  })

  describe.skipIf(!foreign.has('llama-gguf-split'))('llama-gguf-split', () => {
    test('joins shards to the tensors that ollama is sent as one stream', async () => {
      const cwd = registry.folder
      await foreign.run('llama-gguf-split', ['--split-max-tensors', '12', 'llama-kjv-F16.gguf', 'cut'], { cwd })
      const [first] = (await readdir(cwd)).filter((name) => name.startsWith('cut-00001-of-'))
      await registry.publish({ source: join(cwd, first as string), name: 'kjv/cut:F16' })
      await foreign.run('llama-gguf-split', ['--merge', first as string, 'joined.gguf'], { cwd })
      const agent = { 'user-agent': 'ollama/0.12.0' }
      const manifest = await fetch(`${registry.url}/v2/kjv/cut/manifests/F16`, { headers: agent })
      const { layers } = (await manifest.json()) as { layers: { digest: string }[] }
      const stream = await fetch(`${registry.url}/v2/kjv/cut/blobs/${layers[0]?.digest}`, { headers: agent })
      const bytes = Buffer.from(await stream.arrayBuffer())
      expect(`sha256:${sha256(bytes)}`).toBe(layers[0]?.digest)
      await writeFile(join(cwd, 'stream.gguf'), bytes)
      const tensors = async (name: string): Promise<string[]> => {
        const model = await openGguf(join(cwd, name))
        await model.close()
        const content = await readFile(join(cwd, name))
        return model.tensors
          .map(({ name: tensor, type, start, end }) => `${tensor} ${type} ${sha256(content.subarray(start, end))}`)
          .sort()
      }
      expect(await tensors('stream.gguf')).toEqual(await tensors('joined.gguf'))
    })
  })

  describe.skipIf(!foreign.has('llama-server'))('llama-server', () => {
    test('its router lists a model that was published to its folder', async () => {
      const directory = join(registry.folder, 'router')
      await finish(
        publishToTarget({
          source: join(registry.folder, 'llama-kjv-F16.gguf'),
          name: 'kjv/llama:F16',
          to: 'llama-server',
          directory,
        }),
      )
      const { stdout } = await foreign.python(listOfRouter, [directory], { cwd: registry.folder, timeout: 120_000 })
      expect(stdout).toContain('llama-F16')
    }, 180_000)

    // Stopped between the last byte and the renaming, llama.cpp asks for the bytes after the end.
    test.each([
      ['downloads the model', false, / 200 /],
      ['goes on with a download that lacks only its name', true, / \[bytes=\d+-\] 206 /],
    ])(
      '-hf kjv/llama:F16 %s, loads it and answers a chat',
      async (what, complete, logged) => {
        const cache = join(registry.folder, what.replaceAll(' ', '-'))
        const blobs = join(cache, 'models--kjv--llama', 'blobs')
        await mkdir(blobs, { recursive: true })
        if (complete) await writeFile(join(blobs, `${sha256(gguf)}.downloadInProgress`), gguf)
        const before = registry.log.length
        const { stdout } = await foreign.python(serveAndChat, [], {
          cwd: registry.folder,
          env: { HF_ENDPOINT: registry.url, LLAMA_CACHE: cache, HF_HUB_CACHE: cache },
          timeout: 120_000,
        })
        const answer = JSON.parse(stdout.trim().split('\n').at(-1) as string)
        expect(answer.choices[0].message.content.length).toBeGreaterThan(0)
        expect(answer.usage.completion_tokens).toBeGreaterThan(0)
        const gets = registry.log
          .slice(before)
          .filter((line) => /^GET \/kjv\/llama\/resolve\/[0-9a-f]{40}\/llama-F16\.gguf/.test(line))
        expect(gets).toEqual([expect.stringMatching(logged)])
      },
      180_000,
    )
  })
})

/** Newer versions of huggingface_hub name subclasses, such as RemoteEntryNotFoundError. */
function isKindOf(name: string): unknown {
  return expect.stringContaining(name)
}
