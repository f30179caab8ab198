"""GPT-2 and Llama as modules of plain PyTorch: functions of ``torch.nn.functional``, fused AdamW, nothing else."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from archlab.weights import Weights
from plain.models import ADAMW, CLIP, EPSILON, RATE, SIZES, THETA


class Plain(nn.Module):
    """Parameters under names with dots, read by the same names."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.names = {name: name.replace(".", "_") for name in tensors}
        for name, array in tensors.items():
            self.register_parameter(self.names[name], nn.Parameter(torch.tensor(array)))

    def __getitem__(self, name: str) -> Any:
        return getattr(self, self.names[name])


class GPT2(Plain):
    """Logits (B, T, V) of tokens (B, T)."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, self["embedding"]) + self["positions"][: tokens.shape[1]]
        for i in range(SIZES.layers):
            x = self._layer(x, f"{i}.")
        return F.linear(self._norm(x, "norm"), self["embedding"])

    def _layer(self, x: Any, at: str) -> Any:
        q, k, v = self._linear(self._norm(x, f"{at}norm1"), f"{at}qkv").chunk(3, dim=-1)
        x = x + self._linear(attention(q, k, v, SIZES.heads), f"{at}out")
        h = F.gelu(self._linear(self._norm(x, f"{at}norm2"), f"{at}up"), approximate="tanh")
        return x + self._linear(h, f"{at}down")

    def _norm(self, x: Any, name: str) -> Any:
        return F.layer_norm(x, (SIZES.width,), self[f"{name}.scale"], self[f"{name}.bias"], EPSILON)

    def _linear(self, x: Any, name: str) -> Any:
        return F.linear(x, self[f"{name}.weight"], self[f"{name}.bias"])


class Llama(Plain):
    """Logits (B, T, V) of tokens (B, T)."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        super().__init__(tensors)
        rates = THETA ** -(torch.arange(0, SIZES.head, 2, dtype=torch.float64) / SIZES.head)
        phase = torch.arange(SIZES.length)[:, None] * rates.float()
        self.register_buffer("cos", phase.cos()[:, None])
        self.register_buffer("sin", phase.sin()[:, None])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, self["embedding"])
        for i in range(SIZES.layers):
            x = self._layer(x, f"{i}.")
        return F.linear(self._norm(x, "norm"), self["head"])

    def _layer(self, x: Any, at: str) -> Any:
        a = self._norm(x, f"{at}norm1")
        q, k, v = (F.linear(a, self[f"{at}{name}"]) for name in ("query", "key", "value"))
        x = x + F.linear(attention(q, k, v, SIZES.kv_heads, self._rotated), self[f"{at}out"])
        a = self._norm(x, f"{at}norm2")
        h = F.silu(F.linear(a, self[f"{at}gate"])) * F.linear(a, self[f"{at}up"])
        return x + F.linear(h, self[f"{at}down"])

    def _norm(self, x: Any, name: str) -> Any:
        return F.rms_norm(x, (SIZES.width,), self[name], EPSILON)

    def _rotated(self, x: Any) -> Any:
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin], dim=-1)


def attention(q: Any, k: Any, v: Any, kv_heads: int, rotated: Callable[[Any], Any] = lambda a: a) -> torch.Tensor:
    """Causal attention of (B, T, HK) and (B, T, GK)."""
    q, k, v = (a.view(*a.shape[:2], n, SIZES.head) for a, n in ((q, SIZES.heads), (k, kv_heads), (v, kv_heads)))
    q, k, v = (a.transpose(1, 2) for a in (rotated(q), rotated(k), v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=kv_heads != SIZES.heads)
    return y.transpose(1, 2).flatten(2)


class PlainTrainer:
    """A module, its fused AdamW, and a step as one writes it."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.params = module, list(module.parameters())
        wide = [p for p in self.params if p.ndim > 1]
        narrow = [p for p in self.params if p.ndim <= 1]
        groups = [{"params": wide}, {"params": narrow, "weight_decay": 0.0}]
        self.rule = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=RATE, betas=(ADAMW.beta1, ADAMW.beta2),
            eps=ADAMW.epsilon, weight_decay=ADAMW.weight_decay, fused=True,
        )  # fmt: skip

    def step(self, batch: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, norm of the gradients) of one update."""
        tokens, targets = (torch.from_numpy(batch[key].astype(np.int64)) for key in ("tokens", "targets"))
        logits = self.module(tokens)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.params, CLIP)
        self.rule.step()
        self.rule.zero_grad(set_to_none=True)
        return loss.detach(), norm


def module(name: str, weights: Weights) -> nn.Module:
    """A model with canonical weights."""
    return GPT2(_gpt2(weights)) if name == "gpt2" else Llama(_llama(weights))


def _gpt2(w: Weights) -> Weights:
    table = {"embedding": w["embedding.table"], "positions": w["positions.table"]}
    table |= {f"norm.{kind}": w[f"norm.{kind}"] for kind in ("scale", "bias")}
    for i in range(SIZES.layers):
        at = f"stack.layers.{i}."
        joint = [f"{at}mixer.{name}." for name in ("query", "key", "value")]
        table[f"{i}.qkv.weight"] = np.concatenate([w[f"{one}kernel"].T for one in joint])
        table[f"{i}.qkv.bias"] = np.concatenate([w[f"{one}bias"] for one in joint])
        for ours, theirs in (("mixer.out", "out"), ("channel.up", "up"), ("channel.down", "down")):
            table |= {f"{i}.{theirs}.weight": w[f"{at}{ours}.kernel"].T, f"{i}.{theirs}.bias": w[f"{at}{ours}.bias"]}
        for ours, theirs in (("mixer_residual", "norm1"), ("channel_residual", "norm2")):
            table |= {f"{i}.{theirs}.{kind}": w[f"{at}{ours}.norm.{kind}"] for kind in ("scale", "bias")}
    return {name: np.ascontiguousarray(a) for name, a in table.items()}


def _llama(w: Weights) -> Weights:
    table = {"embedding": w["embedding.table"], "head": w["head.kernel"].T, "norm": w["norm.scale"]}
    for i in range(SIZES.layers):
        at = f"stack.layers.{i}."
        table |= {f"{i}.{name}": w[f"{at}mixer.{name}.kernel"].T for name in ("query", "key", "value", "out")}
        table |= {f"{i}.{name}": w[f"{at}channel.{name}.kernel"].T for name in ("gate", "up", "down")}
        table |= {f"{i}.norm1": w[f"{at}mixer_residual.norm.scale"]}
        table |= {f"{i}.norm2": w[f"{at}channel_residual.norm.scale"]}
    return {name: np.ascontiguousarray(a) for name, a in table.items()}
