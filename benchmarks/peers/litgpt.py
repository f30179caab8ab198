"""Lightning's litgpt: its GPT as Llama, stepped by PyTorch's fused AdamW. GPT-2 it cannot be: it has no positions."""

import numpy as np
import torch
from case import EPSILON, THETA, Case
from contestant import Contestant
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.utils import chunked_cross_entropy

from peers.hf_names import hf_weights, joint
from peers.torch_loop import load, loop, set_up

NAMES = {
    "input_layernorm": "norm_1", "self_attn.o_proj": "attn.proj", "post_attention_layernorm": "norm_2",
    "mlp.gate_proj": "mlp.fc_1", "mlp.up_proj": "mlp.fc_2", "mlp.down_proj": "mlp.proj",
}  # fmt: skip


def start(case: Case) -> Contestant:
    set_up(case)
    shape = case.shape
    config = Config(
        block_size=shape.length, n_layer=shape.layers, n_embd=shape.width, vocab_size=shape.vocab,
        padded_vocab_size=shape.vocab, n_head=shape.heads, intermediate_size=shape.gated, norm_class_name="RMSNorm",
        norm_eps=EPSILON, parallel_residual=False, mlp_class_name="LLaMAMLP", bias=False, rotary_percentage=1.0,
        rope_base=int(THETA),
    )  # fmt: skip
    net = GPT(config)
    load(net, _weights(case))

    def loss_of(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return chunked_cross_entropy(net(tokens), targets, chunk_size=0)

    return loop(case, net, loss_of)


def _weights(case: Case) -> dict[str, np.ndarray]:
    given = hf_weights(case)
    out = {"lm_head.weight": given["lm_head.weight"], "transformer.ln_f.weight": given["model.norm.weight"]}
    out["transformer.wte.weight"] = given["model.embed_tokens.weight"]
    for i in range(case.shape.layers):
        block = f"transformer.h.{i}"
        for theirs, litgpts in NAMES.items():
            out[f"{block}.{litgpts}.weight"] = given[f"model.layers.{i}.{theirs}.weight"]
        qkv = joint(case.weights, f"stack.layers.{i}.mixer", "kernel")
        out[f"{block}.attn.qkv.weight"] = np.ascontiguousarray(qkv.T)
    return out
