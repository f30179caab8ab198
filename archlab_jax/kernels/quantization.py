"""Products with kernels that are held as integers and scales (see :mod:`archlab.quantization`).

Integers are widened where they are multiplied. In a loop over tokens kernels are the same in every turn, so that XLA
would widen all of them before it, and decoding would take the memory of floats and read floats again. On GPUs and TPUs,
where a product widens what it reads, a barrier with x keeps them in the loop. CPUs widen first, and all kernels at once
if they may, so there a loop over columns widens as many as fit into a core's cache.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from archlab.quantization import Format, quantize

BLOCK = 1 << 18
"""Weights that a CPU widens at a time."""


class Int8(NamedTuple):
    """``codes`` (D, F) int8, ``scales`` (1, F) float32."""

    codes: Any
    scales: Any

    def matmul(self, x: Any) -> Any:
        """x W: x (…, D) → (…, F)."""
        return _blockwise(_product8, x, *self)


class Int4(NamedTuple):
    """``pairs`` (D / 2, F) int8, of rows 2i in their upper and 2i + 1 in their lower bits; ``scales`` (groups, F)."""

    pairs: Any
    scales: Any

    def matmul(self, x: Any) -> Any:
        """x W: x (…, D) → (…, F)."""
        return _blockwise(_product4, x, *self)


def _product8(x: Any, codes: Any, scales: Any) -> Any:
    return jnp.dot(x, codes.astype(x.dtype), preferred_element_type=_wide(x)) * scales[0]


def _product4(x: Any, pairs: Any, scales: Any) -> Any:
    def part(x: Any, codes: Any) -> Any:
        grouped = codes.astype(x.dtype).reshape(scales.shape[0], -1, codes.shape[1])
        kernel = (grouped * scales[:, None].astype(x.dtype)).reshape(codes.shape)
        return jnp.dot(x, kernel, preferred_element_type=_wide(x))

    return part(x[..., 0::2], pairs >> 4) + part(x[..., 1::2], (pairs << 4) >> 4)


def _blockwise(product: Callable[..., Any], x: Any, held: Any, scales: Any) -> Any:
    """``product(x, held, scales)``, on CPUs some columns at a time and in float32, which they are fastest in."""
    if jax.default_backend() != "cpu":
        return product(*lax.optimization_barrier((x, held)), scales).astype(x.dtype)
    wide, features = x.astype(_wide(x)), held.shape[-1]
    columns = min(max(BLOCK // x.shape[-1], 16), -(-features // 2))

    def one(i: Any, y: Any) -> Any:
        some = (lax.dynamic_slice_in_dim(array, i * columns, columns, axis=-1) for array in (held, scales))
        return lax.dynamic_update_slice_in_dim(y, product(wide, *some), i * columns, axis=-1)

    # where columns do not come out even, the last ones are those of the block before once more
    y = jnp.zeros((*x.shape[:-1], features), wide.dtype)
    return lax.fori_loop(0, -(-features // columns), one, y).astype(x.dtype)


def held(kernel: np.ndarray, form: Format) -> Int8 | Int4:
    """A kernel (…, D, F), or several of them stacked, in ``form``."""
    found = quantize(kernel, form)
    if form.bits == 8:
        return Int8(found.codes, found.scales)
    upper, lower = found.codes[..., 0::2, :], found.codes[..., 1::2, :]
    return Int4((upper << 4) | (lower & 15), found.scales)


def _wide(x: Any) -> Any:
    """The dtype that sums are made in."""
    return jnp.promote_types(x.dtype, jnp.float32)
