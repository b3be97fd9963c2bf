"""Random models of a few thousand weights, as transformers makes and saves them."""

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rlvr.models.tokenizers import byte_tokenizer

torch.set_num_threads(1)  # models this small only lose time to a second thread

SIZES = {
    "vocab_size": 258,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": 257,
    "pad_token_id": 256,
}


def reference_model(family, **settings):
    """A model of transformers with random weights, biases and norms included."""
    torch.manual_seed(0)
    if family == "gpt2":
        sizes = {
            "vocab_size": 258,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 64,
            "eos_token_id": 257,
        }
        model = GPT2LMHeadModel(GPT2Config(**sizes | settings))
    elif family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SIZES | settings))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**SIZES | settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def save_reference(folder, family="qwen2", tokenizer=None, **settings):
    """Save such a model with its tokenizer (bytes if none is given); returns it."""
    model = reference_model(family, **settings)
    model.save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return model
