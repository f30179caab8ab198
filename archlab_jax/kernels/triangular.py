"""Triangular systems as matrix products."""

from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_jvp
def unit_lower_inverse(below: Any) -> Any:
    """(I + L)⁻¹ (…, C, C) for strictly lower L: blocks of 1, 2, 4, … rows are inverted from two of half the size.

    [[A, 0], [B, D]]⁻¹ = [[A⁻¹, 0], [−D⁻¹ B A⁻¹, D⁻¹]]. That is as exact as substitution, unlike powers of L. LAPACK's
    solver, which JAX calls on a CPU, waits for threads of the pool that it runs in: training came to a halt in it.
    """
    size = below.shape[-1]
    inverse = jnp.broadcast_to(jnp.eye(size, dtype=below.dtype), below.shape)
    step = 1
    while step < size:
        block = jnp.arange(size) // step
        corner = (block[:, None] % 2 == 1) & (block[None, :] == block[:, None] - 1)
        inverse = inverse - inverse @ jnp.where(corner, below, 0) @ inverse
        step *= 2
    return inverse


@unit_lower_inverse.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Any, Any]:
    inverse = unit_lower_inverse(primals[0])
    return inverse, -inverse @ jnp.tril(tangents[0], -1) @ inverse
