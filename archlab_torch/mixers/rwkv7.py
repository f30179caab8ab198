"""RWKV-7's time mixing in chunks, so that training is parallel along the sequence."""

from typing import Any

import torch

from archlab.mixers import rwkv7 as specs
from archlab.spec import Part
from archlab_torch.kernels import chunks, fla
from archlab_torch.module import Builder, Module, natives

SIZE = 16  # a chunk's decays multiply up to e^−9.7 at most: their inverse loses nothing in float32


@natives.register(specs.RWKV7)
class RWKV7(Module):
    """S_t = S_{t−1} (diag(w_t) − κ_tᵀ (a_t ⊙ κ_t)) + v_tᵀ k_t;  o_t = S_t r_t."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        size = part.spec.size(part.width)
        self.kernel = fla.chosen("rwkv 7", in_chunks, builder, size, size)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(self, x, ctx, state, fla.parallel(self.kernel, in_chunks, ctx))


def in_chunks(r: Any, decay: Any, k: Any, v: Any, removal: Any, taken: Any, same: Any, memory: Any) -> tuple[Any, Any]:
    """o (B, T, H, K) and the last memory (B, H, K, K), chunk by chunk.

    What the memory holds under each κ of a chunk solves a triangular system, for it depends on what earlier tokens
    wrote. It is linear in the memory at the chunk's start: ``own`` and ``of_memory`` times it.
    """
    length = r.shape[1]
    size = min(SIZE, length)
    fades = chunks.channel_fades(decay, same, size)
    r, k, v, removal, taken = (chunks.split(a, size) for a in (r, k, v, removal, taken))
    r, asked = r * fades.since, removal * fades.until
    keys, takes = ((a * fades.back).mT for a in (k, taken))
    system = torch.where(fades.earlier, asked @ takes, 0)
    sides = torch.cat([torch.where(fades.earlier, asked @ keys, 0) @ v, fades.first * asked], -1)
    held = torch.linalg.solve_triangular(system, sides, upper=False, unitriangular=True)
    own, of_memory = held.split([v.shape[-1], v.shape[-1]], dim=-1)
    near, less = (torch.where(fades.seen, r @ a, 0) for a in (keys, takes))
    old, k, taken = fades.first * r, k * fades.after, taken * fades.after
    outputs = []
    for i in range(r.shape[0]):
        held = own[i] + of_memory[i] @ memory.mT
        outputs.append(near[i] @ v[i] - less[i] @ held + old[i] @ memory.mT)
        memory = memory * fades.across[i] + v[i].mT @ k[i] - held.mT @ taken[i]
    return chunks.join(torch.stack(outputs), length), memory
