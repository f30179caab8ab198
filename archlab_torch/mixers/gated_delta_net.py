"""Gated DeltaNet in chunks, so that training is parallel along the sequence."""

from typing import Any

import torch

from archlab.chunks import SIZE
from archlab.mixers import gated_delta_net as specs
from archlab.spec import Part
from archlab_torch.kernels import chunks, fla
from archlab_torch.module import Builder, Module, natives


@natives.register(specs.GatedDeltaNet)
class GatedDeltaNet(Module):
    """S_t = α_t S_{t−1} (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ;  o_t = S_t q_t."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        name = "gated delta rule" if part.spec.decay else "delta rule"
        self.kernel = fla.chosen(name, in_chunks, builder, part.spec.key_size, part.spec.value_size)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(self, x, ctx, state, fla.parallel(self.kernel, in_chunks, ctx))


def in_chunks(q: Any, k: Any, v: Any, beta: Any, decay: Any, same: Any, memory: Any) -> tuple[Any, Any]:
    """Outputs (B, T, H, V) and the last memory (B, H, V, K), chunk by chunk (https://arxiv.org/abs/2412.06464).

    What the tokens of a chunk write solves a triangular system, for each must know what earlier ones wrote under its
    key. It is linear in the memory: ``own`` less ``of_memory`` times it.
    """
    length = q.shape[1]
    size = min(SIZE, length)
    fades = chunks.fades(decay, same, size)
    q, k, v, beta = (chunks.split(a, size) for a in (q, k, v, beta[..., None]))
    system = (beta * (k @ k.mT) * fades.within).tril(-1)
    written = torch.linalg.solve_triangular(
        system, beta * torch.cat([v, fades.before * k], -1), upper=False, unitriangular=True
    )
    own, of_memory = written.split([v.shape[-1], k.shape[-1]], dim=-1)
    old, near, keys = fades.before * q, (q @ k.mT) * fades.within, fades.after * k
    outputs = []
    for i in range(q.shape[0]):
        new = own[i] - of_memory[i] @ memory.mT
        outputs.append(old[i] @ memory.mT + near[i] @ new)
        memory = fades.across[i] * memory + new.mT @ keys[i]
    return chunks.join(torch.stack(outputs), length), memory
