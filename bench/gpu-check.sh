#!/bin/sh
# Checks mq on a machine with a GPU: loading, placement, the same text as on the processor, tokens per second.
#   bench/gpu-check.sh "node bin/run.js" WORK-FOLDER [CHECKPOINT-BYTES]
# The first argument is the command that runs mq, with a package of llama.cpp for GPUs installed (README, docs/serving.md). Needs no network.
set -u
mq=$1; work=$2; bytes=${3:-2000000000}
node=${mq%% *}; root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$work"
failed=0
say() { printf '\n== %s\n' "$*"; }
check() { # NAME EXPECTED FOUND
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1"; printf 'expected: %s\nfound:    %s\n' "$2" "$3"; failed=1; fi
}
say devices; $mq doctor | tee "$work/doctor.txt"
grep -Eq ', (gpu|integrated), ' "$work/doctor.txt" || { echo 'llama.cpp finds no GPU: nothing to check'; exit 1; }
say models
$mq convert "$root/samples/llama-kjv" --type f32 -o "$work/llama.gguf" --force
$mq convert "$root/samples/deepseek-kjv-moe" --type f32 -o "$work/moe.gguf" --force
"$node" -e 'import(process.argv[1]).then(({ writeSynthetic }) => writeSynthetic(process.argv[2], Number(process.argv[3])))' \
  "$root/dist/bench/synthetic-checkpoint.js" "$work/synthetic" "$bytes"
$mq quantize "$work/synthetic" --preset Q4_K_M -o "$work/synthetic-Q4_K_M.gguf" --force
$mq quantize "$work/synthetic" --bits 2.51 -o "$work/synthetic-2.51.gguf" --force
$mq convert "$work/synthetic" --type f16 -o "$work/synthetic-F16.gguf" --force

say 'the same text on the processor and the GPU'
prompt='And it came to pass in those days, that'
for model in llama moe; do
  text() { $mq run "$work/$model.gguf" "$prompt" --raw --temp 0 -n 40 "$@" 2>"$work/stderr" || cat "$work/stderr"; }
  cpu=$(text -ngl 0)
  check "$model, all layers" "$cpu" "$(text -ngl all)"
  check "$model, as it fits" "$cpu" "$(text -ngl auto)"
  check "$model, one layer" "$cpu" "$(text -ngl 1)"
done
check 'moe, experts on the processor' "$cpu" "$(text -ngl all --cpu-moe)"
check 'moe, experts of one layer on the processor' "$cpu" "$(text -ngl all --n-cpu-moe 1)"
check 'moe, keys and values in q8_0' "$(text -ngl 0 -ctk q8_0 -ctv q8_0 -fa on)" "$(text -ngl all -ctk q8_0 -ctv q8_0 -fa on)"

say 'tokens per second'
for kind in 2.51 Q4_K_M F16; do
  for layers in 0 all; do
    echo "-ngl $layers"; $mq bench "$work/synthetic-$kind.gguf" -ngl "$layers" -r 3
  done
done
echo '-ngl all, paired: 2.51 against Q4_K_M'; $mq bench "$work/synthetic-2.51.gguf" --against "$work/synthetic-Q4_K_M.gguf" -ngl all -r 3
echo '-ngl all --cpu-moe'; $mq bench "$work/moe.gguf" -ngl all --cpu-moe -r 3

say 'a server: eight requests at once, the texts of one after the other'
port=18437; $mq serve "$work/llama.gguf" -ngl all --port $port >"$work/serve.log" 2>&1 & server=$!
"$node" --input-type=module -e '
const url = `http://127.0.0.1:${process.argv[1]}`
for (let tries = 0; !(await fetch(`${url}/health`).then((r) => r.ok, () => false)); tries++) {
  if (tries === 300) process.exit(1)
  await new Promise((done) => setTimeout(done, 200))
}
const ask = async (k) => {
  const body = { prompt: `In the beginning ${k}`, max_tokens: 64, temperature: 0 }
  const answer = await fetch(`${url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  return (await answer.json()).choices[0].text
}
const numbers = [...Array(8).keys()]
let started = performance.now()
const alone = []
for (const k of numbers) alone.push(await ask(k))
const aloneMs = performance.now() - started
started = performance.now()
const together = await Promise.all(numbers.map(ask))
console.log(`one after the other ${aloneMs.toFixed(0)} ms, together ${(performance.now() - started).toFixed(0)} ms, equal texts ${together.filter((text, k) => text === alone[k]).length} of 8`)
' $port || { echo 'FAILED: the server'; cat "$work/serve.log"; failed=1; }
kill -TERM $server; wait $server

[ $failed = 0 ] && say 'all checks passed' || say 'SOME CHECKS FAILED'
exit $failed
