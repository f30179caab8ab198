"""lucidrains' x-transformers: a Decoder of rotary positions, RMSNorm and SwiGLU, stepped by PyTorch's fused AdamW.

Rotated pairs are neighbours in it, so rows of queries and keys are laid accordingly. The bias that its gated unit
always has is taken away. Its RMSNorm has no epsilon, which with these embeddings stays below float32 noise.
"""

import numpy as np
import torch
from case import Case
from contestant import Contestant
from x_transformers import Decoder, TransformerWrapper
from x_transformers.x_transformers import GLU

from peers.hf_names import hf_weights
from peers.torch_loop import load, loop, set_up


def start(case: Case) -> Contestant:
    set_up(case)
    shape = case.shape
    size = shape.width // shape.heads
    layers = Decoder(
        dim=shape.width, depth=shape.layers, heads=shape.heads, attn_dim_head=size, rotary_pos_emb=True,
        rotary_emb_dim=size, use_rmsnorm=True, ff_glu=True, ff_swish=True, ff_no_bias=True,
        ff_mult=shape.gated / shape.width, attn_flash=True, norm_add_unit_offset=False,
    )  # fmt: skip
    net = TransformerWrapper(
        num_tokens=shape.vocab, max_seq_len=shape.length, use_abs_pos_emb=False, attn_layers=layers
    )
    for module in net.modules():
        if isinstance(module, GLU):
            module.proj.bias = None
    load(net, _weights(case))

    def loss_of(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(net(tokens).transpose(1, 2), targets)

    return loop(case, net, loss_of)


def _weights(case: Case) -> dict[str, np.ndarray]:
    given, heads = hf_weights(case), case.shape.heads
    out = {"token_emb.emb.weight": given["model.embed_tokens.weight"], "to_logits.weight": given["lm_head.weight"]}
    out["attn_layers.final_norm.g"] = given["model.norm.weight"]
    for i in range(case.shape.layers):
        ours, attention, channel = (
            f"model.layers.{i}",
            f"attn_layers.layers.{2 * i}",
            f"attn_layers.layers.{2 * i + 1}",
        )
        part = {name: given[f"{ours}.{name}.weight"] for name in ("self_attn.v_proj", "self_attn.o_proj")}
        pairs = {name: _neighbours(given[f"{ours}.self_attn.{name}_proj.weight"], heads) for name in "qk"}
        up, gate = given[f"{ours}.mlp.up_proj.weight"], given[f"{ours}.mlp.gate_proj.weight"]
        out |= {
            f"{attention}.0.0.g": given[f"{ours}.input_layernorm.weight"],
            f"{attention}.1.to_q.weight": pairs["q"],
            f"{attention}.1.to_k.weight": pairs["k"],
            f"{attention}.1.to_v.weight": part["self_attn.v_proj"],
            f"{attention}.1.to_out.weight": part["self_attn.o_proj"],
            f"{channel}.0.0.g": given[f"{ours}.post_attention_layernorm.weight"],
            f"{channel}.1.ff.0.proj.weight": np.concatenate([up, gate]),
            f"{channel}.1.ff.2.weight": given[f"{ours}.mlp.down_proj.weight"],
        }
    return out


def _neighbours(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix, so that pairs (i, i + K/2) of a head become (2i, 2i + 1)."""
    out, width = matrix.shape
    halves = matrix.reshape(heads, 2, out // heads // 2, width)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(out, width)
