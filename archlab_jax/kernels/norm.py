"""Normalisation with its derivative in closed form, which XLA runs faster than what autodiff derives.

With y = (x − mean) · r and r = 1/√(var + ε): ẏ = r · (ẋ − mean(ẋ) − y · mean(y · ẋ)), and the backward
pass is the same map; without centring the term mean(ẋ) is absent.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def _mean(x: Any) -> Any:
    return jnp.mean(x, axis=-1, keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def standardize(x: Any, epsilon: float, centred: bool) -> Any:
    """x / √(mean(x²) + ε) along the last axis, after subtracting the mean where ``centred``."""
    return _parts(x, epsilon, centred)[0]


def _parts(x: Any, epsilon: float, centred: bool) -> tuple[Any, Any]:
    x = x - _mean(x) if centred else x
    rate = lax.rsqrt(_mean(jnp.square(x)) + epsilon)
    return x * rate, rate


@standardize.defjvp
def _derivative(epsilon: float, centred: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (dx,) = tangents
    y, rate = _parts(primals[0], epsilon, centred)
    inner = dx - y * _mean(y * dx)
    return y, rate * (inner - _mean(dx) if centred else inner)
