"""Llama's greedy decoding by hand in PyTorch: caches of fixed size, fused attention over what is filled.

They are written in place. Query, key and value are one product, gate and up another; nothing is compiled.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from case import EPSILON, THETA, Writing
from contestant import Writer

from peers.hf_names import joint

Tree = dict[str, Any]


def start(case: Writing) -> Writer:
    torch.set_num_threads(case.threads)
    shape, params = case.shape, _params(case)
    size = shape.width // shape.heads
    room = (shape.batch, shape.heads, shape.length, size)
    caches = [(torch.zeros(room, device=case.device), torch.zeros(room, device=case.device)) for _ in params["layers"]]
    phase = torch.arange(shape.length)[:, None] * THETA ** -(torch.arange(0, size, 2) / size)
    cos, sin = phase.cos().to(case.device), phase.sin().to(case.device)

    def forward(tokens: torch.Tensor, place: int) -> torch.Tensor:
        """Logits (B, V) of the last of tokens (B, T), the first of them at ``place``."""
        end = place + tokens.shape[1]
        x, turn = params["embedding"][tokens], (cos[place:end], sin[place:end])
        for layer, (keys, values) in zip(params["layers"], caches, strict=True):
            joint = F.linear(_norm(x, layer["norm1"]), layer["qkv"]).unflatten(-1, (3, shape.heads, size))
            q, k, v = joint.permute(2, 0, 3, 1, 4)
            keys[:, :, place:end], values[:, :, place:end] = _rotated(k, *turn), v
            seen = keys[:, :, :end], values[:, :, :end]
            y = F.scaled_dot_product_attention(_rotated(q, *turn), *seen, is_causal=tokens.shape[1] > 1)
            x = x + F.linear(y.transpose(1, 2).flatten(2), layer["out"])
            gate, up = F.linear(_norm(x, layer["norm2"]), layer["gate_up"]).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, layer["down"])
        return F.linear(_norm(x[:, -1], params["norm"]), params["head"])

    @torch.inference_mode()
    def write(prompts: np.ndarray) -> np.ndarray:
        tokens = torch.from_numpy(prompts).to(case.device)
        drawn = [forward(tokens, 0).argmax(-1)]
        for place in range(case.prompt, shape.length - 1):
            drawn.append(forward(drawn[-1][:, None], place).argmax(-1))
        return torch.stack(drawn, dim=1).cpu().numpy()

    return Writer(parameters=case.parameters, write=write)


def _norm(x: Any, scale: Any) -> Any:
    return F.rms_norm(x, scale.shape, scale, EPSILON)


def _rotated(x: Any, cos: Any, sin: Any) -> Any:
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def _params(case: Writing) -> Tree:
    """Matrices (out, in), as PyTorch's own linear maps keep them."""
    given = case.weights

    def turned(matrix: np.ndarray) -> torch.Tensor:
        return torch.tensor(matrix.T.copy(), device=case.device)

    def vector(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, device=case.device)

    layers = []
    for i in range(case.shape.layers):
        at = f"stack.layers.{i}"
        gate_up = np.concatenate([given[f"{at}.channel.{name}.kernel"] for name in ("gate", "up")], axis=1)
        layers.append({
            "norm1": vector(given[f"{at}.mixer_residual.norm.scale"]),
            "qkv": turned(joint(given, f"{at}.mixer", "kernel")), "out": turned(given[f"{at}.mixer.out.kernel"]),
            "norm2": vector(given[f"{at}.channel_residual.norm.scale"]),
            "gate_up": turned(gate_up), "down": turned(given[f"{at}.channel.down.kernel"]),
        })  # fmt: skip
    return {
        "embedding": vector(given["embedding.table"]), "norm": vector(given["norm.scale"]),
        "head": turned(given["head.kernel"]), "layers": layers,
    }  # fmt: skip
