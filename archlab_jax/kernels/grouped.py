"""Matrix products of rows that are sorted by group, each group with a matrix of its own.

GPUs and TPUs have kernels for it. XLA's CPU backend expands it to products of all rows with all matrices, more than the
definition of a mixture of experts takes; there the rows are laid out in blocks of one group each, which fill up with
zeros, and all blocks are multiplied at once.

A row's product does not depend on which other rows there are. A matrix's gradient is a sum over its rows, and where
they stand decides in which order more than a block of them are added: other rows move its last bits then.
"""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.ops import upcast

# Matrices are filled up to multiples: what is left over goes through other instructions, which round otherwise.
TILE = 8
MOST = 64  # rows of a block


def product(x: Any, w: Any, sizes: Any) -> Any:
    """Rows x (N, D), the first ``sizes[0]`` of them times w[0], and so on: w (G, D, F) → (N, F)."""
    return jax.lax.ragged_dot(x, w, sizes) if jax.default_backend() != "cpu" else by_blocks(x, w, sizes)


def by_blocks(x: Any, w: Any, sizes: Any) -> Any:
    """:func:`product` in blocks of rows of one group; there are as many as the worst division of the rows needs."""
    count, groups = x.shape[0], w.shape[0]
    rows = min(count + -count % TILE, MOST)
    most = count // rows + groups
    blocks, before = -(-sizes // rows), jnp.cumsum(sizes) - sizes
    ends = jnp.cumsum(blocks)
    group = jnp.searchsorted(before + sizes, jnp.arange(count), side="right")
    place = jnp.arange(count) + ((ends - blocks) * rows - before)[group]
    owner = jnp.minimum(jnp.searchsorted(ends, jnp.arange(most), side="right"), groups - 1)
    laid = jnp.zeros((most * rows, x.shape[1]), x.dtype).at[place].set(x, unique_indices=True)
    y = jnp.einsum("bnd,bdf->bnf", filled(laid.reshape(most, rows, -1)), filled(w, axes=2)[owner])
    return y.reshape(most * rows, -1)[place, : w.shape[2]]


def filled(x: Any, axes: int = 1) -> Any:
    """``x`` with zeros up to multiples of :data:`TILE` along its last ``axes`` axes."""
    more = [(0, -size % TILE if i >= x.ndim - axes else 0) for i, size in enumerate(x.shape)]
    return jnp.pad(x, more)


def add(y: Any, b: Any, group: Any) -> Any:
    """y + b[group], b (G, F), computed in float32 and rounded once, as is the sum that is the gradient of b."""
    return (upcast(jnp, y) + upcast(jnp, b)[group]).astype(y.dtype)
