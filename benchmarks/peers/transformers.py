"""Hugging Face transformers: GPT2LMHeadModel and LlamaForCausalLM with fused attention, their loss and ``generate``.

Where ``generate`` has a cache of fixed size, it compiles by itself on GPUs alone; so it does not in ``static``, and
``compiled`` compiles the forward pass as its documentation shows.
"""

from typing import Any

import numpy as np
import torch
from case import EPSILON, THETA, Case, Writing
from contestant import Contestant, Writer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from peers.hf_names import hf_weights
from peers.torch_loop import load, loop, set_up, tensor


def start(case: Case) -> Contestant:
    set_up(case)
    net = _gpt2(case) if case.style == "gpt2" else _llama(case)
    load(net, hf_weights(case))
    net.tie_weights()

    def loss_of(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return net(input_ids=tokens, labels=targets, shift_labels=targets, use_cache=False).loss

    return loop(case, net, loss_of)


def dynamic(case: Writing) -> Writer:
    return _writer(case, _loaded_llama(case))


def static(case: Writing) -> Writer:
    return _writer(case, _loaded_llama(case), cache_implementation="static", disable_compile=True)


def compiled(case: Writing) -> Writer:
    net = _loaded_llama(case)
    mode = "reduce-overhead" if case.device == "cuda" else "default"
    net.forward = torch.compile(net.forward, mode=mode, fullgraph=True)
    return _writer(case, net, cache_implementation="static", disable_compile=True)


def _loaded_llama(case: Writing) -> Any:
    torch.set_num_threads(case.threads)
    net = _llama(case)
    load(net, hf_weights(case))
    return net.to(case.device).eval()


def _writer(case: Writing, net: Any, **settings: Any) -> Writer:
    net.generation_config.eos_token_id = None  # all write equally many tokens
    net.generation_config.update(max_new_tokens=case.new, do_sample=False, pad_token_id=0, **settings)
    seen = torch.ones((case.shape.batch, case.prompt), dtype=torch.int64, device=case.device)

    def write(prompts: np.ndarray) -> np.ndarray:
        out = net.generate(tensor(prompts, case.device), attention_mask=seen)
        return out[:, case.prompt :].cpu().numpy()

    return Writer(parameters=sum(p.numel() for p in net.parameters()), write=write)


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
