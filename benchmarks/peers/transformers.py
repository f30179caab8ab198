"""Hugging Face transformers: GPT2LMHeadModel and LlamaForCausalLM with fused attention, and their own loss."""

from typing import Any

import torch
from case import EPSILON, THETA, Case
from contestant import Contestant
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from peers.hf_names import hf_weights
from peers.torch_loop import load, loop, set_up


def start(case: Case) -> Contestant:
    set_up(case)
    net = _gpt2(case) if case.style == "gpt2" else _llama(case)
    load(net, hf_weights(case))
    net.tie_weights()

    def loss_of(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return net(input_ids=tokens, labels=targets, shift_labels=targets, use_cache=False).loss

    return loop(case, net, loss_of)


def _gpt2(case: Case) -> Any:
    shape = case.shape
    config = GPT2Config(
        vocab_size=shape.vocab, n_positions=shape.length, n_embd=shape.width, n_layer=shape.layers,
        n_head=shape.heads, activation_function="gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        layer_norm_epsilon=EPSILON, bos_token_id=0, eos_token_id=0, attn_implementation="sdpa",
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def _llama(case: Case) -> Any:
    shape = case.shape
    config = LlamaConfig(
        vocab_size=shape.vocab, hidden_size=shape.width, intermediate_size=shape.gated,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.heads,
        hidden_act="silu", max_position_embeddings=shape.length, rms_norm_eps=EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": THETA}, tie_word_embeddings=False,
        bos_token_id=0, eos_token_id=0, attn_implementation="sdpa",
    )  # fmt: skip
    return LlamaForCausalLM(config)
