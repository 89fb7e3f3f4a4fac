/**
 * Classes whose own code lies with the checkpoint, and the class of transformers that computes the same once its tensors are renamed, split or
 * prepared as that code does. By name of the case: class, what config.json becomes, what the tensors become, what is done to the model.
 *
 * Source of what that code does: llama.cpp's converter, v0.7.0, and the published names and shapes of tensors.
 */
export const kinCases: readonly string[] = ['baichuan', 'bailing-moe', 'bitnet', 'decilm-7b', 'deepseek-ocr', 'qwen', 'step3-vl']

export const kinScript = `
from safetensors.torch import load_file
def thirds(key, value, names): return zip(names, value.chunk(3, 0))

def ternary(weight):
    scale = 1 / weight.abs().mean().clamp(min=1e-5)
    return (weight * scale).round().clamp(-1, 1) / scale
def bitnet(tensors, config):
    rename = lambda key: key.replace('inner_attn_ln', 'attn_sub_norm').replace('ffn_layernorm', 'ffn_sub_norm')
    return {rename(key): ternary(value) if key.endswith('_proj.weight') else value for key, value in tensors.items()}

def baichuan(tensors, config):
    found = {}
    for key, value in tensors.items():
        if key.endswith('W_pack.weight'):
            for name, part in thirds(key, value, 'qkv'): found[key.replace('W_pack', name + '_proj')] = part
        elif 'inv_freq' not in key: found[key] = value
    # NormHead of Baichuan 2: rows of length 1.
    found['lm_head.weight'] = torch.nn.functional.normalize(found['lm_head.weight'])
    return found

def deci(tensors, config):
    # Each layer has key-value heads of its own number: all are repeated.
    heads, found = config['num_attention_heads'], {}
    for key, value in tensors.items():
        if key.endswith(('k_proj.weight', 'v_proj.weight')):
            groups = config['num_key_value_heads_per_layer'][int(key.split('.')[2])]
            parts = value.reshape(groups, -1, value.shape[1])
            value = parts.repeat_interleave(heads // groups, 0).reshape(-1, value.shape[1])
        found[key] = value
    return found
def without_scaling(config): return {**config, 'rope_scaling': None}

def qwen_config(config):
    return dict(
        vocab_size=config['vocab_size'], hidden_size=config['hidden_size'], intermediate_size=config['intermediate_size'] // 2,
        num_hidden_layers=config['num_hidden_layers'], num_attention_heads=config['num_attention_heads'],
        num_key_value_heads=config['num_attention_heads'], rms_norm_eps=config['layer_norm_epsilon'],
        rope_theta=float(config['rotary_emb_base']), max_position_embeddings=config['seq_length'], tie_word_embeddings=False)
def qwen(tensors, config):
    ends = {'transformer.wte.weight': 'model.embed_tokens.weight', 'transformer.ln_f.weight': 'model.norm.weight'}
    within = {
        'attn.c_proj': 'self_attn.o_proj', 'ln_1': 'input_layernorm', 'ln_2': 'post_attention_layernorm',
        'mlp.w1': 'mlp.up_proj', 'mlp.w2': 'mlp.gate_proj', 'mlp.c_proj': 'mlp.down_proj'}
    found = {}
    for key, value in tensors.items():
        if not key.startswith('transformer.h.'):
            found[ends.get(key, key)] = value
            continue
        _, _, layer, rest = key.split('.', 3)
        part, kind = rest.rsplit('.', 1)
        if part == 'attn.c_attn':
            for name, third in thirds(key, value, 'qkv'): found[f'model.layers.{layer}.self_attn.{name}_proj.{kind}'] = third
        else: found[f'model.layers.{layer}.{within[part]}.{kind}'] = value
    return found

def text_config(config): return {**{key: value for key, value in config.items() if key != 'vision_config'}, **config['text_config']}
def text_tensors(tensors, config):
    return {key.replace('model.language_model.', 'model.'): value for key, value in tensors.items() if 'vision' not in key and 'vit_' not in key}

def stack_experts(found, config):
    for layer in range(config['num_hidden_layers']):
        prefix = f'model.layers.{layer}.mlp.experts.'
        if prefix + '0.up_proj.weight' not in found: continue
        take = lambda kind: [found.pop(f'{prefix}{expert}.{kind}_proj.weight') for expert in range(config['num_experts'])]
        found[prefix + 'gate_up_proj'] = torch.stack([torch.cat(pair) for pair in zip(take('gate'), take('up'))])
        found[prefix + 'down_proj'] = torch.stack(take('down'))

def ocr_config(config):
    dropped = ('vision_config', 'language_config', 'projector_config')
    return {**{key: value for key, value in config.items() if key not in dropped}, 'qkv_bias': False, 'decoder_sparse_step': 1,
        'head_dim': config['hidden_size'] // config['num_attention_heads'], 'num_experts': config['n_routed_experts'],
        'mlp_only_layers': list(range(config['first_k_dense_replace'])), 'norm_topk_prob': False, 'rms_norm_eps': 1e-6,
        'shared_expert_intermediate_size': config['moe_intermediate_size'] * config['n_shared_experts']}
def ocr(tensors, config):
    found = {key.replace('shared_experts', 'shared_expert'): value for key, value in tensors.items()
        if key.startswith(('model.layers', 'model.norm', 'model.embed', 'lm_head'))}
    stack_experts(found, config)
    return found

def ling_config(config):
    return {**config, 'head_dim': config['hidden_size'] // config['num_attention_heads'], 'qkv_bias': False,
        'shared_expert_intermediate_size': config['moe_intermediate_size'] * config['num_shared_experts'], 'decoder_sparse_step': 1}
def ling(tensors, config):
    heads, keys = config['num_attention_heads'], config['num_key_value_heads']
    sizes = [count * config['head_dim'] for count in (heads, keys, keys)]
    found = {}
    for key, value in tensors.items():
        key = key.replace('word_embeddings', 'embed_tokens').replace('.attention.dense', '.self_attn.o_proj').replace('shared_experts', 'shared_expert')
        if '.attention.query_key_value' in key:
            for name, part in zip('qkv', value.split(sizes, 0)):
                found[key.replace('attention.query_key_value', 'self_attn.' + name + '_proj')] = part
        else: found[key] = value
    stack_experts(found, config)
    # norm_head: columns of length 1.
    found['lm_head.weight'] /= found['lm_head.weight'].norm(p=2, dim=0, keepdim=True) + 1e-7
    return found
class Open(torch.nn.Module):
    # The shared experts have no gate.
    def forward(self, hidden): return torch.full((*hidden.shape[:-1], 1), 1e4)
def ling_model(model):
    for layer in model.model.layers:
        if hasattr(layer.mlp, 'shared_expert_gate'): layer.mlp.shared_expert_gate = Open()

same = lambda value, *rest: value
kin = {
    'baichuan': ('LlamaForCausalLM', same, baichuan, same),
    'bailing-moe': ('Qwen2MoeForCausalLM', ling_config, ling, ling_model),
    'bitnet': ('BitNetForCausalLM', same, bitnet, same),
    'decilm-7b': ('LlamaForCausalLM', without_scaling, deci, same),
    'deepseek-ocr': ('Qwen2MoeForCausalLM', ocr_config, ocr, ling_model),
    'qwen': ('Qwen2ForCausalLM', qwen_config, qwen, same),
    'step3-vl': ('Qwen3ForCausalLM', text_config, text_tensors, same),
}
def load_kin(name, folder):
    class_name, change, rename, prepare = kin[name]
    config = change(json.load(open(folder + '/config.json')))
    for key in ('architectures', 'auto_map', 'model_type', 'torch_dtype', 'text_config'): config.pop(key, None)
    cls = getattr(transformers, class_name)
    made = cls.config_class(**config)
    made._attn_implementation = 'eager'
    model = cls(made).float()
    prepare(model)
    tensors = {key: value.float() for key, value in load_file(folder + '/model.safetensors').items()}
    outcome = model.load_state_dict(rename(tensors, config), strict=False)
    if config.get('tie_word_embeddings'): model.tie_weights()
    tied = {'lm_head.weight'} if config.get('tie_word_embeddings') else set()
    return model, {'missing_keys': set(outcome.missing_keys) - tied, 'unexpected_keys': set(outcome.unexpected_keys), 'mismatched_keys': set()}
`
