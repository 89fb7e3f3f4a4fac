#!/usr/bin/env python3
"""Packs small matrices as the makers of each storage do, and writes the values that were packed. Runs none of their libraries.
Usage: python3 make.py   (numpy). Each packer follows the library named beside it; values are worked out from the codes, before they are packed."""
import base64, json, os
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(11)
OUT, IN = 16, 64
f32 = np.float32
DTYPES = {np.dtype('float32'): 'F32', np.dtype('float16'): 'F16', np.dtype('int32'): 'I32', np.dtype('uint8'): 'U8', np.dtype('int8'): 'I8', np.dtype('int64'): 'I64'}

def tensor(array, dtype=None):
    array = np.ascontiguousarray(array)
    return [dtype or DTYPES[array.dtype], list(array.shape), base64.b64encode(array.tobytes()).decode()]

cases = []
def case(name, config, tensors, expected, weight='l.weight'):
    expected = np.ascontiguousarray(expected, f32)
    cases.append({'name': name, 'config': config, 'tensors': tensors, 'weight': weight, 'shape': list(expected.shape),
                  'values': base64.b64encode(expected.tobytes()).decode()})

def e4m3():
    values = np.zeros(256, f32)
    for code in range(256):
        sign, exponent, mantissa = -1 if code >> 7 else 1, (code >> 3) & 15, code & 7
        values[code] = sign * (mantissa / 8 * 2.0 ** -6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))
    return values
E4M3 = e4m3()
E5M2 = np.array([(-1 if c >> 7 else 1) * ((c & 3) / 4 * 2.0 ** -14 if (c >> 2) & 31 == 0 else (1 + (c & 3) / 4) * 2.0 ** (((c >> 2) & 31) - 15)) for c in range(256)], f32)
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], f32)
fp8_codes = lambda *shape: rng.integers(0, 0x78, shape).astype(np.uint8) | (rng.integers(0, 2, shape).astype(np.uint8) << 7)
scales = lambda *shape: rng.uniform(.001, .1, shape)

# GPTQ: pack() of AutoGPTQ's qlinear_cuda_old.py: intweight [in, out] into rows of words; 3 bits in runs of 32 values over 3 words.
def pack_down(codes, bits):
    rows, columns = codes.shape
    words = np.zeros((rows * bits // 32, columns), np.uint32)
    if bits != 3:
        for i in range(rows): words[i // (32 // bits)] |= codes[i].astype(np.uint32) << np.uint32(bits * (i % (32 // bits)))
        return words.view(np.int32)
    i = row = 0
    code = codes.astype(np.uint32)
    while row < len(words):
        for j in range(i, i + 10): words[row] |= code[j] << np.uint32(3 * (j - i))
        i += 10; words[row] |= code[i] << np.uint32(30)
        row += 1; words[row] |= (code[i] >> np.uint32(2)) & np.uint32(1); i += 1
        for j in range(i, i + 10): words[row] |= code[j] << np.uint32(3 * (j - i) + 1)
        i += 10; words[row] |= code[i] << np.uint32(31)
        row += 1; words[row] |= (code[i] >> np.uint32(1)) & np.uint32(3); i += 1
        for j in range(i, i + 10): words[row] |= code[j] << np.uint32(3 * (j - i) + 2)
        i += 10; row += 1
    return words.view(np.int32)
pack_along = lambda codes, bits: pack_down(codes.T, bits).T

for bits, act_order, version in [(2, False, 'gptq'), (3, False, 'gptq'), (4, False, 'gptq'), (4, True, 'gptq'), (4, True, 'gptq_v2'), (8, False, 'gptq')]:
    out = 32 if bits == 3 else OUT
    group = 16; groups = IN // group
    codes = rng.integers(0, 2 ** bits, (IN, out)); zeros = rng.integers(1, 2 ** bits, (groups, out))
    scale = scales(groups, out).astype(np.float16)
    index = np.arange(IN) // group
    if act_order: index = rng.permutation(index)
    stored = zeros - 1 if version == 'gptq' else zeros
    case(f'GPTQ {bits} bits{", act-order" if act_order else ""}, {version}',
         {'quantization_config': {'quant_method': 'gptq', 'bits': bits, 'group_size': group, 'desc_act': act_order, 'checkpoint_format': version}},
         {'l.qweight': tensor(pack_down(codes, bits)), 'l.qzeros': tensor(pack_along(stored, bits)), 'l.scales': tensor(scale), 'l.g_idx': tensor(index.astype(np.int32))},
         (scale.astype(f32)[index] * (codes - zeros[index]).astype(f32)).T)

# AWQ: WQLinear_GEMM.from_linear of AutoAWQ.
def pack_awq(codes):
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
    for column in range(words.shape[1]):
        for i, place in enumerate([0, 2, 4, 6, 1, 3, 5, 7]):
            words[:, column] |= codes[:, column * 8 + place].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)
codes, zeros, scale = rng.integers(0, 16, (IN, OUT)), rng.integers(0, 16, (2, OUT)), scales(2, OUT).astype(np.float16)
case('AWQ', {'quantization_config': {'quant_method': 'awq', 'bits': 4, 'group_size': 32, 'version': 'gemm', 'zero_point': True}},
     {'l.qweight': tensor(pack_awq(codes)), 'l.qzeros': tensor(pack_awq(zeros)), 'l.scales': tensor(scale)},
     ((codes - zeros.repeat(32, 0)).astype(f32) * scale.astype(f32).repeat(32, 0)).T)

# compressed-tensors: pack_to_int32 of compressors/quantized_compressors/pack_quantized.py.
def group_config(**weights): return {'quantization_config': {'quant_method': 'compressed-tensors', 'format': weights.pop('format'), 'config_groups': {'group_0': {'targets': ['Linear'], 'weights': weights}}}}
def pack_words(codes, bits):
    per = 32 // bits
    words = np.zeros((codes.shape[0], codes.shape[1] // per), np.uint32)
    for i in range(per): words |= codes[:, i::per].astype(np.uint32) << np.uint32(bits * i)
    return words.view(np.int32)
for bits, symmetric, act_order in [(4, True, False), (4, False, False), (8, True, False), (4, True, True)]:
    codes = rng.integers(0, 2 ** bits, (OUT, IN)); scale = scales(OUT, 2).astype(f32)
    zeros = np.full((OUT, 2), 2 ** (bits - 1)) if symmetric else rng.integers(0, 2 ** bits, (OUT, 2))
    index = np.arange(IN) // 32
    if act_order: index = rng.permutation(index)
    tensors = {'l.weight_packed': tensor(pack_words(codes, bits)), 'l.weight_scale': tensor(scale), 'l.weight_shape': tensor(np.array([OUT, IN], np.int64))}
    if not symmetric: tensors['l.weight_zero_point'] = tensor(pack_words(zeros.T, bits).T)
    if act_order: tensors['l.weight_g_idx'] = tensor(index.astype(np.int32))
    case(f'compressed-tensors, {bits} bits packed{"" if symmetric else ", zero points"}{", act-order" if act_order else ""}',
         group_config(format='pack-quantized', num_bits=bits, type='int', strategy='group', group_size=32, symmetric=symmetric), tensors,
         (codes - zeros[:, index]).astype(f32) * scale[:, index])
codes, scale = rng.integers(-128, 128, (OUT, IN)).astype(np.int8), scales(OUT, 1).astype(f32)
case('compressed-tensors, int8 by row', group_config(format='int-quantized', num_bits=8, type='int', strategy='channel'),
     {'l.weight': tensor(codes), 'l.weight_scale': tensor(scale)}, codes.astype(f32) * scale)
codes = fp8_codes(OUT, IN)
case('compressed-tensors, float8 by row', group_config(format='float-quantized', num_bits=8, type='float', strategy='channel'),
     {'l.weight': tensor(codes, 'F8_E4M3'), 'l.weight_scale': tensor(scale), 'l.input_scale': tensor(np.ones(1, f32))}, E4M3[codes] * scale)
whole = np.array([.03], f32)
case('compressed-tensors, float8 by tensor', group_config(format='float-quantized', num_bits=8, type='float', strategy='tensor'),
     {'l.weight': tensor(codes, 'F8_E4M3'), 'l.weight_scale': tensor(whole)}, E4M3[codes] * whole)
big = fp8_codes(200, 160); blocks = scales(2, 2).astype(f32)
case('compressed-tensors, float8 by block', group_config(format='float-quantized', num_bits=8, type='float', strategy='block', block_structure=[128, 128]),
     {'l.weight': tensor(big, 'F8_E4M3'), 'l.weight_scale': tensor(blocks)}, E4M3[big] * blocks.repeat(128, 0).repeat(128, 1)[:200, :160])

# FP8 of DeepSeek and others.
case('FP8 blocks, e5m2', {'quantization_config': {'quant_method': 'fp8', 'fmt': 'e5m2', 'weight_block_size': [8, 16]}},
     {'l.weight': tensor(codes & 0xfb, 'F8_E5M2'), 'l.weight_scale_inv': tensor(np.arange(1, 9, dtype=f32).reshape(2, 4) / 64)},
     E5M2[codes & 0xfb] * (np.arange(1, 9, dtype=f32).reshape(2, 4) / 64).repeat(8, 0).repeat(16, 1))
powers = rng.integers(115, 130, (2, 4)).astype(np.uint8)
case('FP8 blocks, UE8M0', {'quantization_config': {'quant_method': 'fp8', 'fmt': 'e4m3', 'weight_block_size': [8, 16], 'scale_fmt': 'ue8m0'}},
     {'l.weight': tensor(codes, 'F8_E4M3'), 'l.weight_scale_inv': tensor(powers, 'F8_E8M0')},
     E4M3[codes] * np.exp2(powers.astype(f32) - 127).repeat(8, 0).repeat(16, 1))

# 4-bit floats: the first of two values in the lower half of a byte.
nibbles = rng.integers(0, 16, (OUT, IN)).astype(np.uint8)
pairs = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
block_codes = rng.integers(8, 0x78, (OUT, IN // 16)).astype(np.uint8)
overall = np.array(.0123, f32)
case('ModelOpt NVFP4', {'quantization_config': {'quant_method': 'modelopt', 'quant_algo': 'NVFP4'}},
     {'l.weight': tensor(pairs), 'l.weight_scale': tensor(block_codes, 'F8_E4M3'), 'l.weight_scale_2': tensor(overall), 'l.input_scale': tensor(overall)},
     E2M1[nibbles] * (E4M3[block_codes] * overall).repeat(16, 1))
case('compressed-tensors, NVFP4', group_config(format='nvfp4-pack-quantized', num_bits=4, type='float', strategy='tensor_group', group_size=16),
     {'l.weight_packed': tensor(pairs), 'l.weight_scale': tensor(block_codes, 'F8_E4M3'), 'l.weight_global_scale': tensor(np.array([812.5], f32))},
     E2M1[nibbles] * (E4M3[block_codes] / f32(812.5)).repeat(16, 1))
powers = rng.integers(115, 130, (OUT, IN // 32)).astype(np.uint8)
case('compressed-tensors, MXFP4', group_config(format='mxfp4-pack-quantized', num_bits=4, type='float', strategy='group', group_size=32),
     {'l.weight_packed': tensor(pairs), 'l.weight_scale': tensor(powers)}, E2M1[nibbles] * np.exp2(powers.astype(f32) - 127).repeat(32, 1))
case('ModelOpt FP8', {'quantization_config': {'quant_method': 'modelopt', 'quant_algo': 'FP8'}},
     {'l.weight': tensor(codes, 'F8_E4M3'), 'l.weight_scale': tensor(overall), 'l.input_scale': tensor(overall), 'l.k_scale': tensor(overall)}, E4M3[codes] * overall)

# gpt-oss: convert_moe_packed_tensors of transformers, before it exchanges the last two dimensions; two experts.
nibble = rng.integers(0, 16, (2, 8, 3, 32)).astype(np.uint8); power = rng.integers(115, 130, (2, 8, 3)).astype(np.uint8)
case('gpt-oss MXFP4', {'quantization_config': {'quant_method': 'mxfp4'}},
     {'e.down_proj_blocks': tensor(nibble[..., 0::2] | (nibble[..., 1::2] << 4)), 'e.down_proj_scales': tensor(power)},
     (E2M1[nibble] * np.exp2(power.astype(f32) - 127)[..., None]).reshape(2, 8, 96), 'e.down_proj')

# bitsandbytes: the first of two values in the upper half; tables as functional.py has them (nf4: create_normal_map; here any table serves).
def state(**fields): return tensor(np.frombuffer(json.dumps(dict(quant_type='nf4', blocksize=64, dtype='bfloat16', shape=[OUT, IN], **fields)).encode(), np.uint8))
table = np.sort(rng.uniform(-1, 1, 16)).astype(f32)
flat = rng.integers(0, 16, OUT * IN).astype(np.uint8)
halves = (flat[0::2] << 4 | flat[1::2]).reshape(-1, 1)
absmax = scales(OUT * IN // 64).astype(f32)
bnb = {'quantization_config': {'quant_method': 'bitsandbytes', 'load_in_4bit': True}}
case('bitsandbytes nf4', bnb, {'l.weight': tensor(halves), 'l.weight.absmax': tensor(absmax), 'l.weight.quant_map': tensor(table), 'l.weight.quant_state.bitsandbytes__nf4': state()},
     (table[flat].reshape(-1, 64) * absmax[:, None]).reshape(OUT, IN))
outer, offset, map256 = scales(1).astype(f32), 0.04375, np.sort(rng.uniform(-1, 1, 256)).astype(f32)
small = rng.integers(0, 256, OUT * IN // 64).astype(np.uint8)
nested = (map256[small] * outer[0]).astype(f32) + f32(offset)
case('bitsandbytes fp4, double quantization', bnb,
     {'l.weight': tensor(halves), 'l.weight.absmax': tensor(small), 'l.weight.quant_map': tensor(table), 'l.weight.nested_absmax': tensor(outer), 'l.weight.nested_quant_map': tensor(map256),
      'l.weight.quant_state.bitsandbytes__fp4': state(nested_blocksize=256, nested_offset=offset, nested_dtype='float32')},
     (table[flat].reshape(-1, 64) * nested[:, None]).reshape(OUT, IN))
codes, scb = rng.integers(-127, 128, (OUT, IN)).astype(np.int8), rng.uniform(.1, 3, OUT).astype(f32)
case('bitsandbytes int8', {'quantization_config': {'quant_method': 'bitsandbytes', 'load_in_8bit': True}},
     {'l.weight': tensor(codes), 'l.SCB': tensor(scb), 'l.weight_format': tensor(np.array(0, np.uint8))}, codes.astype(f32) * scb[:, None] * f32(7.874015718698502e-3))

with open(f'{HERE}/storages.json', 'w', encoding='utf-8') as file:
    file.write('[\n' + ',\n'.join(json.dumps(case, separators=(',', ':')) for case in cases) + '\n]\n')
print(len(cases), 'cases')
