import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { foreign } from '../support/foreign.js'
import { runMq } from '../support/run-mq.js'
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

describe.skipIf(!foreign.available)(`the registry and programs that are not ours (${foreign.name})`, () => {
  let registry: TestRegistry
  let gguf: Buffer

  beforeAll(async () => {
    registry = await runningRegistry()
    const path = join(registry.folder, 'llama-kjv-F16.gguf')
    const { exitCode, stderr } = await runMq(['convert', sample, '--type', 'f16', '-o', path])
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

  describe.skipIf(!foreign.has('llama-server'))('llama-server', () => {
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

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Newer versions of huggingface_hub name subclasses, such as RemoteEntryNotFoundError. */
function isKindOf(name: string): unknown {
  return expect.stringContaining(name)
}
