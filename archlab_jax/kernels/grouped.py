"""Matrix products of rows that are sorted by group, each group with a matrix of its own.

XLA's CPU backend expands it to a dense product with zeros (all groups for all rows); GPUs and TPUs have kernels for it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.ops import upcast


def product(x: Any, w: Any, sizes: Any) -> Any:
    """Rows x (N, D), the first ``sizes[0]`` of them times w[0], and so on: w (G, D, F) → (N, F)."""
    return jax.lax.ragged_dot(x, w, sizes)


def add(y: Any, b: Any, group: Any) -> Any:
    """y + b[group], b (G, F), computed in float32 and rounded once, as is the sum that is the gradient of b."""
    return (upcast(jnp, y) + upcast(jnp, b)[group]).astype(y.dtype)
