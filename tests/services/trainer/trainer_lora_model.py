"""Tiny models with a LoRA adapter, over full weights and over NF4."""

import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPE = {
    "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def tiny(config=LlamaConfig, **lora):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(**SHAPE))
    wrapped = get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | lora))
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    return wrapped


def packed(model):
    """Every linear layer but the head in NF4."""
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "layers" in name and "lora" not in name:
            layer = Linear4bit(module.in_features, module.out_features, module.bias is not None, torch.float32, quant_type="nf4")
            layer.load_state_dict(module.state_dict())
            model.set_submodule(name, layer.to("cpu"))
    return model


def packed_tiny():
    torch.manual_seed(0)
    model = packed(AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE)))
    model.is_loaded_in_4bit = True
    model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False))
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    return model
