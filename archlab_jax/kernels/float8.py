"""Matrix products of tensors that are rounded to float8 (see :mod:`archlab.float8`).

XLA recognises a product of widened float8 values times their scales, and hands it to the GPU's float8 units
(https://github.com/openxla/xla, GemmRewriter); on a CPU it is computed as it is written.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from archlab.errors import InputError
from archlab.float8 import BACKWARD, CAPABILITY, FORWARD, LARGEST, SMALLEST, missing


class Scaled(NamedTuple):
    """A tensor as ``values`` in float8 times the number ``unit``."""

    values: Any
    unit: Any

    def wide(self, dtype: Any) -> Any:
        return self.values.astype(dtype) * self.unit.astype(dtype)


def check(device: jax.Device) -> None:
    """Raise :class:`InputError` unless ``device`` has float8 products, or is a CPU."""
    capability = tuple(int(part) for part in str(getattr(device, "compute_capability", "0")).split("."))
    if device.platform != "cpu" and capability < CAPABILITY:
        raise InputError(missing(device.device_kind))


@jax.custom_vjp
def matmul(x: Any, w: Any) -> Any:
    """x w: x (..., D), w (D, F)."""
    return _forward(x, w)[0]


def _forward(x: Any, w: Any) -> tuple[Any, tuple[Any, Any]]:
    x8, w8 = rounded(x, FORWARD), rounded(w, FORWARD)
    return jnp.dot(x8.wide(x.dtype), w8.wide(x.dtype)), (x8, w8)


def _backward(saved: tuple[Any, Any], slope: Any) -> tuple[Any, Any]:
    x8, w8 = saved
    slope = rounded(slope, BACKWARD).wide(slope.dtype)
    rows, columns = x8.wide(slope.dtype).reshape(-1, x8.values.shape[-1]), slope.reshape(-1, slope.shape[-1])
    return jnp.dot(slope, w8.wide(slope.dtype).T), jnp.dot(rows.T, columns)


matmul.defvjp(_forward, _backward)


def rounded(x: Any, form: str) -> Scaled:
    """A tensor in the float8 format ``form``, times the largest power of two that keeps it within."""
    largest = jnp.maximum(jnp.max(jnp.abs(x)).astype(jnp.float32), SMALLEST)
    power = jnp.frexp(LARGEST[form] / largest)[1] - 1
    one = jnp.ones((), jnp.float32)
    # e4m3 knows no infinity: some casts end at its largest value.
    unit = jnp.where(jnp.isfinite(largest), jnp.ldexp(one, -power), jnp.nan)
    return Scaled((x * jnp.ldexp(one, power).astype(x.dtype)).astype(form), unit)
