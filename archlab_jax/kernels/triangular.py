"""Triangular systems without LAPACK."""

from typing import Any

import jax
import jax.numpy as jnp

SMALL = 16
"""Rows of a block that is inverted row by row; products of fewer are mostly overhead."""


@jax.custom_jvp
def unit_lower_inverse(below: Any) -> Any:
    """(I + L)⁻¹ (…, C, C) for strictly lower L: small blocks by elimination, then blocks from two of half the size.

    [[A, 0], [B, D]]⁻¹ = [[A⁻¹, 0], [−D⁻¹ B A⁻¹, D⁻¹]]. That is as exact as substitution, unlike powers of L. LAPACK's
    solver, which JAX calls on a CPU, waits for threads of the pool that it runs in: training came to a halt in it.
    """
    size = below.shape[-1]
    step = whole = min(size, SMALL)
    while whole < size:
        whole *= 2
    below = jnp.pad(below, [(0, 0)] * (below.ndim - 2) + [(0, whole - size)] * 2)
    inverse = _eliminated(_blocks(below, step, [(i, i) for i in range(whole // step)]))
    while step < whole:
        upper, lower = inverse[..., 0::2, :, :], inverse[..., 1::2, :, :]
        corner = _blocks(below, step, [(i + 1, i) for i in range(0, whole // step, 2)])
        inverse = jnp.block([[upper, jnp.zeros_like(upper)], [-lower @ (corner @ upper), lower]])
        step *= 2
    return inverse[..., 0, :size, :size]


def _blocks(a: Any, size: int, places: list[tuple[int, int]]) -> Any:
    """(…, N, size, size) of a (…, C, C): the blocks at (row, column), counted in blocks."""
    return jnp.stack([a[..., i * size : (i + 1) * size, j * size : (j + 1) * size] for i, j in places], axis=-3)


def _eliminated(below: Any) -> Any:
    """The inverse by elimination: row j, once known, is taken out of those under it."""
    inverse = jnp.broadcast_to(jnp.eye(below.shape[-1], dtype=below.dtype), below.shape)
    for j in range(below.shape[-1] - 1):
        inverse = inverse - below[..., :, j, None] * inverse[..., j, None, :]
    return inverse


@unit_lower_inverse.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Any, Any]:
    inverse = unit_lower_inverse(primals[0])
    return inverse, -inverse @ jnp.tril(tangents[0], -1) @ inverse
