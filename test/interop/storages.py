"""Dequantizes the matrices of test/golden/storages/storages.json with the libraries that their storages belong to, where these run on a CPU, and
others that these libraries pack themselves, and prints them as JSON: the golden's fields, with the values that the library gives."""
import base64, json, sys
import numpy as np
import torch

DTYPES = {'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16, 'I32': torch.int32, 'I64': torch.int64, 'U8': torch.uint8,
          'I8': torch.int8, 'F8_E4M3': torch.float8_e4m3fn, 'F8_E5M2': torch.float8_e5m2, 'F8_E8M0': torch.float8_e8m0fnu}


def tensor(dtype, shape, data):
    raw = torch.frombuffer(bytearray(base64.b64decode(data)), dtype=torch.uint8)
    return raw.view(DTYPES[dtype]).reshape(shape)


def bitsandbytes(case, parts):
    import bitsandbytes.functional as f
    return f.int8_vectorwise_dequant(parts['weight'], parts['SCB'])


def compressed_tensors(case, parts):
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme
    config = case['config']['quantization_config']
    group = next(iter(config['config_groups'].values()))
    scheme = QuantizationScheme(targets=['Linear'], weights=group['weights'], format=group.get('format', config['format']))
    kept = {k: v for k, v in parts.items() if k != 'input_scale'}
    return BaseCompressor.get_value_from_registry(getattr(scheme.format, 'value', scheme.format)).decompress(kept, scheme)['weight']


def packed(value):
    names = {value: key for key, value in DTYPES.items()}
    return [names[value.dtype], list(value.shape), base64.b64encode(value.contiguous().view(torch.uint8).numpy().tobytes()).decode()]


def quantized(kind, nested):
    """A matrix that bitsandbytes packs itself, as it saves it: its kernels know their tables, whatever a file says."""
    import bitsandbytes.functional as f
    torch.manual_seed(3)
    weight = torch.randn(32, 128)
    codes, state = f.quantize_4bit(weight, quant_type=kind, compress_statistics=nested, blocksize=64)
    tensors = {'l.weight': packed(codes), **{f'l.weight.{k}': packed(v) for k, v in state.as_dict(packed=True).items()}}
    return {'name': f'bitsandbytes {kind}{", double quantization" if nested else ""}', 'library': 'bitsandbytes', 'weight': 'l.weight', 'shape': [32, 128],
            'config': {'quantization_config': {'quant_method': 'bitsandbytes'}}, 'tensors': tensors, 'got': f.dequantize_4bit(codes, state)}


cases = []
for case in json.load(open(sys.argv[1])):
    method = case['config'].get('quantization_config', {}).get('quant_method')
    # compressed-tensors 0.20 passes over g_idx; tables of the golden are not those of bitsandbytes' kernels.
    if method not in ('bitsandbytes', 'compressed-tensors') or 'act-order' in case['name'] or '4' in case['name'] and method == 'bitsandbytes': continue
    parts = {k.removeprefix('l.'): tensor(*v) for k, v in case['tensors'].items()}
    got = {'bitsandbytes': bitsandbytes, 'compressed-tensors': compressed_tensors}[method](case, parts)
    cases.append({**case, 'library': method, 'got': got})
cases += [quantized(kind, nested) for kind in ('nf4', 'fp4') for nested in (False, True)]
print(json.dumps([{**case, 'got': None, 'isBfloat': case['got'].dtype == torch.bfloat16,
                   'values': base64.b64encode(case['got'].float().numpy().tobytes()).decode()} for case in cases]))
