"""A matrix product whose weight gradient XLA runs well on a CPU.

The gradient of w in y = x w is xᵀ ȳ. What autodiff derives is a product that contracts the rows of both, which
XLA's CPU backend runs at about half its speed; transposing x first, behind a barrier so that the compiler
does not undo it, costs a copy and gains the difference. Other devices get the plain product.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def matmul(x: Any, w: Any) -> Any:
    """x w: x (..., D), w (D, F)."""
    if jax.default_backend() != "cpu":
        return jnp.dot(x, w)
    return _rows(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[-1])


@jax.custom_jvp
def _rows(x: Any, w: Any) -> Any:
    return jnp.dot(x, w)


@_rows.defjvp
def _rows_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x, w), (dx, dw) = primals, tangents
    columns = lax.optimization_barrier(x.T)
    return jnp.dot(x, w), jnp.dot(dx, w) + jnp.dot(columns.T, dw)
