"""Array operations the definitions share, over the array API."""

from collections.abc import Callable
from typing import Any

import numpy as np
from einops import einsum, rearrange, repeat

__all__ = [
    "LOWEST", "angles", "einsum", "loop", "masked_softmax", "merge_heads", "rank", "rearrange", "repeat", "scaled",
    "sigmoid", "softplus", "split_heads", "statistics_dtype", "tied", "upcast",
]  # fmt: skip

LOWEST = -1e30
"""What a softmax reads where it must see nothing: no infinity, whose difference to itself is no number."""


def statistics_dtype(xp: Any, x: Any) -> Any:
    """float64 for float64, else float32: what statistics, phases and softmaxes are computed in."""
    return xp.float64 if x.dtype == xp.float64 else xp.float32


def upcast(xp: Any, x: Any) -> Any:
    """``x`` in float32 at least."""
    return xp.astype(x, statistics_dtype(xp, x))


def angles(ctx: Any, positions: Any, rates: np.ndarray, like: Any) -> Any:
    """positions (...) × rates (R) → phases (..., R), in float32, or float64 where ``like`` is."""
    dtype = statistics_dtype(ctx.xp, like)
    return ctx.xp.astype(positions, dtype)[..., None] * ctx.constant(rates, dtype)


def scaled(ctx: Any, x: Any, factor: float | None) -> Any:
    """x times ``factor``, which is rounded to the dtype of x first; x itself for None."""
    return x if factor is None else x * ctx.constant(factor, x.dtype)


def tied(ctx: Any, x: Any, table: Any) -> Any:
    """x Eᵀ, E (V, D) the table of an embedding: logits (B, T, V) without a matrix of their own."""
    return x @ ctx.xp.astype(ctx.xp.permute_dims(table, (1, 0)), x.dtype)


def split_heads(x: Any, heads: int) -> Any:
    """(B, T, HK) as (B, T, H, K). No pattern: the time that one takes to be read shows in small models."""
    return x.reshape(*x.shape[:-1], heads, -1)


def merge_heads(x: Any) -> Any:
    """(B, T, H, K) as (B, T, HK)."""
    return x.reshape(*x.shape[:-2], -1)


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + e^−x)."""
    return 1.0 / (1.0 + xp.exp(-x))


def softplus(xp: Any, x: Any) -> Any:
    """log(1 + e^x)."""
    return xp.logaddexp(x, xp.zeros_like(x))


def rank(xp: Any, scores: Any) -> Any:
    """(…, E): how many of the others come first by score; where scores are equal, the lower index does."""
    return xp.argsort(xp.argsort(-scores, axis=-1, stable=True), axis=-1, stable=True)


def masked_softmax(xp: Any, scores: Any, mask: Any) -> Any:
    """Softmax over the last axis among the true entries of ``mask``; a row without any gives 0.

    The gradient of such a row is 0 too.
    """
    lowered = xp.where(mask, scores, xp.zeros_like(scores) + LOWEST)
    top = xp.max(lowered, axis=-1, keepdims=True)
    weights = xp.exp(lowered - top)  # 0 where the mask is false, or 1 in all of a row without any
    total = xp.sum(weights, axis=-1, keepdims=True)
    return weights / xp.where(top > LOWEST / 2, total, xp.zeros_like(total) + np.inf)


def loop(xp: Any, step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """``carry, y_t = step(carry, x_t)`` along axis 1 of every input; returns the carry and the y's on axis 1.

    Definitions call it as ``ctx.scan(step, carry, inputs)``, which under JAX is ``jax.lax.scan``.
    """
    outputs = []
    for t in range(inputs[0].shape[1]):
        carry, y = step(carry, tuple(x[:, t, ...] for x in inputs))
        outputs.append(y)
    return carry, xp.stack(outputs, axis=1)
