"""Lightning's litgpt: its GPT as Llama, stepped by PyTorch's fused AdamW. GPT-2 it cannot be: it has no positions.

It writes by its own loops: ``generate`` for one prompt, which looks at as much of the cache as is filled, and
``batched_generate_fn`` for several.
"""

import numpy as np
import torch
from case import EPSILON, THETA, Case, Writing
from contestant import Contestant, Writer
from litgpt.config import Config
from litgpt.generate import base
from litgpt.model import GPT
from litgpt.utils import chunked_cross_entropy

from peers.hf_names import hf_weights, joint
from peers.torch_loop import load, loop, set_up, tensor

NAMES = {
    "input_layernorm": "norm_1", "self_attn.o_proj": "attn.proj", "post_attention_layernorm": "norm_2",
    "mlp.gate_proj": "mlp.fc_1", "mlp.up_proj": "mlp.fc_2", "mlp.down_proj": "mlp.proj",
}  # fmt: skip


def start(case: Case) -> Contestant:
    set_up(case)
    net = _model(case)

    def loss_of(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return chunked_cross_entropy(net(tokens), targets, chunk_size=0)

    return loop(case, net, loss_of)


def write(case: Writing) -> Writer:
    torch.set_num_threads(case.threads)
    net, shape = _model(case).to(case.device).eval(), case.shape
    net.set_kv_cache(batch_size=shape.batch, device=torch.device(case.device))

    def one(prompt: torch.Tensor) -> torch.Tensor:
        return base.generate(net, prompt[0], shape.length, temperature=0.0, include_prompt=False)[None]

    def several(prompts: torch.Tensor) -> torch.Tensor:
        tokens = base.batched_generate_fn(
            net, prompts, shape.length, sample_args={"temperature": 0.0}, include_prompt=False, include_eos=False
        )
        return torch.stack([torch.cat(column) for column in tokens], dim=1)

    loop = one if shape.batch == 1 else several
    return Writer(
        parameters=sum(p.numel() for p in net.parameters()),
        write=lambda prompts: loop(tensor(prompts, case.device)).cpu().numpy(),
    )


def _model(case: Case) -> GPT:
    shape = case.shape
    config = Config(
        block_size=shape.length, n_layer=shape.layers, n_embd=shape.width, vocab_size=shape.vocab,
        padded_vocab_size=shape.vocab, n_head=shape.heads, intermediate_size=shape.gated, norm_class_name="RMSNorm",
        norm_eps=EPSILON, parallel_residual=False, mlp_class_name="LLaMAMLP", bias=False, rotary_percentage=1.0,
        rope_base=int(THETA),
    )  # fmt: skip
    net = GPT(config)
    load(net, _weights(case))
    return net


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
