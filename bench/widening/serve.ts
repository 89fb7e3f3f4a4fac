import { basename, dirname } from 'node:path'
import { foreign } from '../foreign.js'

const script = `
import json, socket, subprocess, sys, time, urllib.request
with socket.socket() as free:
    free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
log = open("llama-server.log", "w")
flags = ["-m", sys.argv[1], "--host", "127.0.0.1", "--port", str(port), "-c", "256", "-t", "2", "--no-webui"]
server = subprocess.Popen(["llama-server", *flags], stdout=log, stderr=log)
def get(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer: return json.load(answer)
try:
    deadline = time.time() + 120
    while True:
        if server.poll() is not None or time.time() > deadline: sys.exit(open("llama-server.log").read()[-2000:])
        try:
            if get("/health")["status"] == "ok": break
        except Exception: time.sleep(0.1)
    print(json.dumps(get("/completion", {"prompt": "In the beginning", "n_predict": 8, "temperature": 0, "ignore_eos": True})))
finally:
    server.terminate(); server.wait()`

/** Has llama-server (foreign programs) load a GGUF file and continue a text. @returns how many tokens it predicted. */
export async function servedTokens(path: string): Promise<number> {
  const { stdout } = await foreign.python(script, [basename(path)], { cwd: dirname(path), timeout: 300_000 })
  return (JSON.parse(stdout.trim().split('\n').at(-1) as string) as { tokens_predicted: number }).tokens_predicted
}
