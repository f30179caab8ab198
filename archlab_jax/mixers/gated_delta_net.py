"""Gated DeltaNet in chunks, so that training is parallel along the sequence."""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.chunks import SIZE
from archlab.mixers import gated_delta_net as specs
from archlab_jax.kernels import chunks
from archlab_jax.kernels.triangular import unit_lower_inverse
from archlab_jax.module import Module, View, natives


@natives.register(specs.GatedDeltaNet)
class GatedDeltaNet(Module):
    """S_t = α_t S_{t−1} (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ;  o_t = S_t q_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(View(self), x, ctx, state, in_chunks)


def in_chunks(q: Any, k: Any, v: Any, beta: Any, decay: Any, same: Any, memory: Any) -> tuple[Any, Any]:
    """Outputs (B, T, H, V) and the last memory (B, H, V, K), chunk by chunk (https://arxiv.org/abs/2412.06464).

    What the tokens of a chunk write solves a triangular system, for each must know what earlier ones wrote under its
    key. It is linear in the memory: ``own`` less ``of_memory`` times it.
    """
    length = q.shape[1]
    size = min(SIZE, length)
    fades = chunks.fades(decay, same, size)
    q, k, v, beta = (chunks.split(a, size) for a in (q, k, v, beta[..., None]))
    k_t = jnp.swapaxes(k, -1, -2)
    system = jnp.tril(beta * (k @ k_t) * fades.within, -1)
    written = unit_lower_inverse(system) @ (beta * jnp.concatenate([v, fades.before * k], -1))
    own, of_memory = jnp.split(written, [v.shape[-1]], axis=-1)

    def step(memory: Any, inputs: Any) -> tuple[Any, Any]:
        own, of_memory, old, near, keys, across = inputs
        memory_t = jnp.swapaxes(memory, -1, -2)
        new = own - of_memory @ memory_t
        return across * memory + jnp.swapaxes(new, -1, -2) @ keys, old @ memory_t + near @ new

    near = (q @ k_t) * fades.within
    memory, o = jax.lax.scan(step, memory, (own, of_memory, fades.before * q, near, fades.after * k, fades.across))
    return chunks.join(o, length), memory
