"""RWKV-7's time mixing in chunks, so that training is parallel along the sequence."""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.mixers import rwkv7 as specs
from archlab_jax.kernels import chunks
from archlab_jax.kernels.triangular import unit_lower_inverse
from archlab_jax.module import Module, View, natives

SIZE = 16  # a chunk's decays multiply up to e^−9.7 at most: their inverse loses nothing in float32


@natives.register(specs.RWKV7)
class RWKV7(Module):
    """S_t = S_{t−1} (diag(w_t) − κ_tᵀ (a_t ⊙ κ_t)) + v_tᵀ k_t;  o_t = S_t r_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(View(self), x, ctx, state, in_chunks)


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
    keys, takes = (jnp.swapaxes(a * fades.back, -1, -2) for a in (k, taken))
    system = jnp.where(fades.earlier, asked @ takes, 0)
    sides = jnp.concatenate([jnp.where(fades.earlier, asked @ keys, 0) @ v, fades.first * asked], -1)
    own, of_memory = jnp.split(unit_lower_inverse(system) @ sides, [v.shape[-1]], axis=-1)
    near, less = (jnp.where(fades.seen, r @ a, 0) for a in (keys, takes))

    def step(memory: Any, inputs: Any) -> tuple[Any, Any]:
        own, of_memory, near, less, old, v, k, taken, across = inputs
        memory_t = jnp.swapaxes(memory, -1, -2)
        held = own + of_memory @ memory_t
        o = near @ v - less @ held + old @ memory_t
        return memory * across + jnp.swapaxes(v, -1, -2) @ k - jnp.swapaxes(held, -1, -2) @ taken, o

    inputs = (own, of_memory, near, less, fades.first * r, v, k * fades.after, taken * fades.after, fades.across)
    memory, o = jax.lax.scan(step, memory, inputs)
    return chunks.join(o, length), memory
