"""Types that llama-quantize --dry-run gives to models of several shapes, under every preset.

python3 preset-types.py SAMPLES_GGUF_FOLDER IMATRIX > preset-types.json, with llama.cpp's llama-quantize and Python's gguf.
"""
import json, os, re, subprocess, sys, tempfile
import numpy as np
from gguf import GGUFReader, GGUFWriter

PRESETS = ("IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS Q2_0 TQ1_0 TQ2_0 Q2_K Q2_K_S Q3_K_S Q3_K_M "
           "Q3_K_L Q4_0 Q4_1 Q4_K_S Q4_K_M Q5_0 Q5_1 Q5_K_S Q5_K_M Q6_K Q8_0 MXFP4_MOE F16 BF16").split()
WITH_IMPORTANCE = "IQ3_XXS IQ4_NL IQ4_XS Q4_0 Q5_0".split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def model(folder, name, arch, layers, heads, groups, experts, blocks, outside):
    """A model of zeros: only names and shapes matter."""
    path = os.path.join(folder, name + ".gguf")
    w = GGUFWriter(path, arch)
    w.add_block_count(layers); w.add_context_length(64); w.add_embedding_length(32 * heads); w.add_feed_forward_length(256)
    w.add_head_count(heads); w.add_head_count_kv(groups); w.add_layer_norm_rms_eps(1e-5); w.add_vocab_size(32)
    w.add_rope_dimension_count(32)
    if experts:
        w.add_expert_count(experts); w.add_expert_used_count(2); w.add_expert_feed_forward_length(256)
        w.add_leading_dense_block_count(2); w.add_expert_shared_count(1); w.add_expert_weights_scale(1.0); w.add_expert_weights_norm(True)
        w.add_uint32(f"{arch}.expert_gating_func", 2)
    if arch == "deepseek2":
        w.add_kv_lora_rank(256); w.add_q_lora_rank(256); w.add_key_length(288); w.add_value_length(256)
        w.add_key_length_mla(96); w.add_value_length_mla(64)
    if arch == "phi3":
        w.add_rope_scaling_orig_ctx_len(64)
    for n, shape in outside: w.add_tensor(n, np.zeros(shape, np.float32 if "_inp" in n else np.float16))
    for layer in range(layers):
        for n, shape in blocks(layer): w.add_tensor(f"blk.{layer}.{n}.weight", np.zeros(shape, np.float32 if "_inp" in n else np.float16))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    return path


def types(path, preset, imatrix=None):
    command = ["llama-quantize", "--dry-run", *(["--imatrix", imatrix] if imatrix else []), path, preset, "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = {}
    for line in re.finditer(r"\[ *\d+/ *\d+\] +(\S+) +- \[[^\]]*\], type = +(\w+), (?:[^\[]*?)size = ([^\n]*)", done.stdout + done.stderr):
        to = re.search(r"\((\w+)\)\s*$", line.group(3))
        found[line.group(1)] = (to.group(1) if to else line.group(2)).upper()
    if done.returncode: raise SystemExit(f"{path} {preset}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return found


def main(samples, imatrix):
    both = [("token_embd.weight", (32, 256)), ("output.weight", (32, 256))]
    dense = lambda _: [("attn_q", (32, 256)), ("attn_k", (32, 256)), ("attn_v", (32, 256)), ("attn_output", (32, 256)),
                       ("ffn_gate", (32, 256)), ("ffn_up", (32, 256)), ("ffn_down", (32, 256))]
    odd = lambda _: [("attn_q", (32, 288)), ("attn_k", (32, 288)), ("attn_v", (32, 288)), ("attn_output", (32, 100)),
                     ("ffn_gate", (32, 100)), ("ffn_up", (32, 512)), ("ffn_down", (32, 160))]
    mixtral = lambda _: dense(_)[:4] + [(n + "_exps", (2, 32, 256)) for n in ("ffn_gate", "ffn_up", "ffn_down")] + [("ffn_gate_inp", (8, 256))]
    mla = lambda layer: [("attn_q_a", (32, 256)), ("attn_q_b", (32, 256)), ("attn_kv_a_mqa", (32, 256)), ("attn_k_b", (2, 32, 128)),
                         ("attn_v_b", (2, 32, 256)), ("attn_output", (32, 256))] + (dense(0)[4:] if layer < 2 else
                        [(n + "_exps", (2, 32, 256)) for n in ("ffn_gate", "ffn_up", "ffn_down")] +
                        [(n + "_shexp", (32, 256)) for n in ("ffn_gate", "ffn_up", "ffn_down")])
    fused = lambda _: [("attn_qkv", (32, 256)), ("attn_output", (32, 256)), ("ffn_up", (32, 256)), ("ffn_down", (32, 256))]
    values = lambda _: [("attn_v", (32, 256))]
    golden = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        shapes = [
            ("llama-kjv", os.path.join(samples, "llama-kjv.gguf"), None),
            ("deepseek-kjv-moe", os.path.join(samples, "deepseek-kjv-moe.gguf"), None),
            ("dense, 20 blocks", None, ("llama", 20, 8, 8, 0, dense, both)),
            ("grouped heads, 9 blocks", None, ("llama", 9, 8, 2, 0, dense, both)),
            ("tied, odd rows", None, ("llama", 10, 8, 8, 0, odd, [("token_embd.weight", (32, 288))])),
            ("tied", None, ("llama", 2, 8, 8, 0, dense, [("token_embd.weight", (32, 256))])),
            ("values of a 70B", None, ("llama", 80, 64, 8, 0, values, both)),
            ("eight experts", None, ("llama", 17, 8, 2, 8, mixtral, both)),
            ("latent attention, 16 experts", None, ("deepseek2", 18, 4, 1, 16, mla, both)),
            ("fused", None, ("phi3", 11, 4, 4, 0, fused, both)),
        ]
        for title, path, made in shapes:
            if made: path = model(folder, re.sub(r"\W+", "-", title), *made)
            reader = GGUFReader(path)
            get = lambda key: next((int(f.parts[f.data[0]][0]) for n, f in reader.fields.items() if n.endswith(key)), 0)
            architecture = bytes(reader.fields["general.architecture"].parts[-1]).decode()
            tensors = [(t.name, [int(d) for d in reversed(t.shape)], t.tensor_type.name) for t in reader.tensors]
            runs = [(p, None) for p in PRESETS] + [(p, imatrix) for p in WITH_IMPORTANCE]
            found = {p + (" importance" if i else ""): types(path, p, i) for p, i in runs}
            legend = sorted({t for f in found.values() for t in f.values()})
            golden.append({
                "title": title, "architecture": architecture, "layers": get(".block_count"), "experts": get(".expert_count"),
                "heads": get(".attention.head_count"), "groups": get(".attention.head_count_kv"),
                "tensors": [f"{n} {'x'.join(map(str, s))} {t}" for n, s, t in tensors], "legend": legend,
                "presets": {p: "".join(LETTERS[legend.index(f[n])] for n, _, _ in tensors) for p, f in found.items()},
            })
    print(json.dumps(golden, indent=1))


main(*sys.argv[1:])
