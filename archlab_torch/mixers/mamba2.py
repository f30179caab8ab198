"""Mamba-2 in chunks, so that training is parallel along the sequence."""

from typing import Any

import torch

from archlab.chunks import SIZE
from archlab.mixers import mamba2 as specs
from archlab.spec import Part
from archlab_torch.kernels import chunks, fla
from archlab_torch.module import Builder, Module, natives


@natives.register(specs.Mamba2)
class Mamba2(Module):
    """S_t = α_t S_{t−1} + Δ_t x_t b_tᵀ;  o_t = S_t c_t + d x_t."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.kernel = fla.chosen("mamba 2", in_chunks, builder, part.spec.state_size, part.spec.head_size)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(self, x, ctx, state, fla.parallel(self.kernel, in_chunks, ctx))


def in_chunks(q: Any, k: Any, v: Any, decay: Any, same: Any, memory: Any) -> tuple[Any, Any]:
    """S_t q_t (B, T, H, P) and the last memory (B, H, P, N), chunk by chunk (https://arxiv.org/abs/2405.21060, §6)."""
    length = q.shape[1]
    size = min(SIZE, length)
    fades = chunks.fades(decay, same, size)
    q, k, v = (chunks.split(a, size) for a in (q, k, v))
    near = ((q @ k.mT) * fades.within) @ v
    added = v.mT @ (fades.after * k)
    starts = []
    for i in range(q.shape[0]):
        starts.append(memory)
        memory = fades.across[i] * memory + added[i]
    return chunks.join(near + (fades.before * q) @ torch.stack(starts).mT, length), memory
