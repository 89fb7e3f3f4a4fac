"""Makes small models, adapters of peft for them, and the models that peft merges, each into a folder: argv[1]/NAME/{base,adapter*,merged}."""
import copy, json, sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, GptOssConfig, LlamaConfig, MixtralConfig, Qwen3MoeConfig

root = Path(sys.argv[1])
common = dict(vocab_size=2048, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
              max_position_embeddings=128, bos_token_id=1, eos_token_id=2)


def llama(**more):
    return LlamaConfig(**{**common, 'tie_word_embeddings': False, 'attention_bias': True, **more})


def gpt2():
    return GPT2Config(vocab_size=2048, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)


def moe(kind, **more):
    return kind(**{**common, 'moe_intermediate_size': 48, 'num_experts': 4, 'num_local_experts': 4, 'num_experts_per_tok': 2, 'norm_topk_prob': True, 'tie_word_embeddings': False, **more})


linear = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
cases = {
    'plain': (llama(), [dict(r=4, target_modules=linear)]),
    'rank-stabilised': (llama(), [dict(r=8, lora_alpha=16, use_rslora=True, target_modules=['q_proj', 'down_proj'])]),
    'patterns': (llama(), [dict(r=4, target_modules=linear, rank_pattern={'q_proj': 6, '1.mlp.down_proj': 2}, alpha_pattern={'^model.layers.0.self_attn.v_proj': 5, 'o_proj': 3})]),
    'layers': (llama(), [dict(r=4, target_modules=['q_proj', 'v_proj'], layers_to_transform=[1])]),
    'embeddings': (llama(), [dict(r=4, target_modules=['embed_tokens', 'lm_head', 'q_proj'])]),
    'saved': (llama(), [dict(r=4, target_modules=['q_proj'], modules_to_save=['lm_head', 'embed_tokens', 'norm'])]),
    'saved-tied': (llama(tie_word_embeddings=True), [dict(r=4, target_modules=['q_proj'], modules_to_save=['lm_head', 'embed_tokens'])]),
    'saved-embedding-tied': (llama(tie_word_embeddings=True), [dict(r=4, target_modules=['q_proj'], modules_to_save=['embed_tokens'])]),
    'embedding-tied': (llama(tie_word_embeddings=True), [dict(r=4, target_modules=['q_proj', 'embed_tokens'])]),
    'head-tied': (llama(tie_word_embeddings=True), [dict(r=4, target_modules=['q_proj', 'lm_head'])]),
    'tokens': (llama(), [dict(r=4, target_modules=['q_proj'], trainable_token_indices={'embed_tokens': [2047, 3, 10]})]),
    'all-biases': (llama(), [dict(r=4, target_modules=['q_proj'], bias='all')]),
    'lora-biases': (llama(), [dict(r=4, target_modules=['q_proj'], bias='lora_only')]),
    'lora-bias': (llama(), [dict(r=4, target_modules=['q_proj', 'v_proj'], lora_bias=True)]),
    'dora': (llama(), [dict(r=4, use_dora=True, target_modules=linear)]),
    'two': (llama(), [dict(r=4, target_modules=['q_proj', 'up_proj']), dict(r=3, lora_alpha=5, target_modules=['q_proj', 'k_proj'])]),
    'two-dora': (llama(), [dict(r=4, use_dora=True, target_modules=['q_proj']), dict(r=3, use_dora=True, target_modules=['q_proj'])]),
    'gpt2': (gpt2(), [dict(r=4, target_modules=['c_attn', 'c_proj', 'c_fc'], fan_in_fan_out=True)]),
    'gpt2-dora': (gpt2(), [dict(r=4, use_dora=True, target_modules=['c_attn', 'c_proj'], fan_in_fan_out=True)]),
    'qwen3moe-experts': (moe(Qwen3MoeConfig), [dict(r=4, target_modules=['q_proj'], target_parameters=['mlp.experts.gate_up_proj', 'mlp.experts.down_proj'])]),
    'mixtral-experts': (moe(MixtralConfig), [dict(r=4, target_modules=['v_proj'], target_parameters=['mlp.experts.gate_up_proj', 'mlp.experts.down_proj'])]),
    'gpt-oss-experts': (moe(GptOssConfig, head_dim=16, intermediate_size=64), [dict(r=4, target_modules=['q_proj'], target_parameters=['mlp.experts.gate_up_proj', 'mlp.experts.down_proj'])]),
}
only = sys.argv[2:]
for number, (name, (config, adapters)) in enumerate(cases.items()):
    if only and name not in only: continue
    torch.manual_seed(number)
    folder = root / name
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters(): parameter.copy_((torch.randn_like(parameter) * 0.05).to(torch.bfloat16).float())
    model.save_pretrained(folder / 'base', safe_serialization=True)
    for index, arguments in enumerate(adapters):
        peft = get_peft_model(copy.deepcopy(model), LoraConfig(task_type='CAUSAL_LM', **arguments))
        with torch.no_grad():
            for key, parameter in peft.named_parameters():
                if parameter.requires_grad: parameter.copy_(parameter + torch.randn_like(parameter) * 0.1)
        peft.save_pretrained(folder / f'adapter{index}', safe_serialization=True)
    merged = AutoModelForCausalLM.from_pretrained(folder / 'base', dtype=torch.float32)
    for index in range(len(adapters)):
        loaded = PeftModel.from_pretrained(merged, folder / 'adapter0', adapter_name='a0') if index == 0 else loaded
        if index > 0: loaded.load_adapter(folder / f'adapter{index}', adapter_name=f'a{index}')
    result = loaded.merge_and_unload(adapter_names=[f'a{index}' for index in range(len(adapters))])
    result.save_pretrained(folder / 'merged', safe_serialization=True)
    # As the modules are in memory, whatever is saved of tied ones.
    save_file({key: value.contiguous().clone() for key, value in result.state_dict().items()}, folder / 'state.safetensors')
print(json.dumps(list(cases)))
