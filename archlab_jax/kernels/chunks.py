"""Recurrences in chunks of the sequence: how a state fades inside a chunk, and from one chunk to the next."""

from typing import Any

import jax.numpy as jnp

from archlab.chunks import ChannelFades, Fades


def split(a: Any, size: int, fill: Any = 0) -> Any:
    """(B, T, H, …) → (N, B, H, C, …), the last chunk filled up."""
    rest = -a.shape[1] % size
    a = jnp.pad(a, ((0, 0), (0, rest), (0, 0), (0, 0)), constant_values=fill)
    a = a.reshape(a.shape[0], -1, size, *a.shape[2:])
    return jnp.moveaxis(a, (1, 3), (0, 2))


def join(a: Any, length: int) -> Any:
    """(N, B, H, C, …) → (B, T, H, …)."""
    a = jnp.moveaxis(a, (0, 3), (1, 2))
    return a.reshape(a.shape[0], -1, *a.shape[3:])[:, :length]


def fades(decay: Any, same: Any, size: int) -> Fades:
    """From log α (B, T, H) and whether a token goes on with the one before (B, T).

    Each entry is summed by itself: differences of one running sum would cancel, and carry other documents' rounding.
    """
    decay, same = split(decay[..., None], size), split(same[..., None, None], size, True)
    document, seen = _documents(same)
    first = document == 0
    lower = jnp.tril(jnp.ones((size, size), decay.dtype))
    within = jnp.where(seen, jnp.exp(_sums(lower, jnp.where(jnp.tril(seen, -1), decay, 0))), 0)
    before = jnp.where(first, jnp.exp(_sums(lower, jnp.where(first, decay, 0))), 0)
    return Fades(within, before, jnp.swapaxes(within[..., -1:, :], -1, -2), before[..., -1:, :])


def _documents(same: Any) -> tuple[Any, Any]:
    """Each token's document, counted from 0 in each chunk; whether j is in i's and not later (N, B, 1, C, C)."""
    size = same.shape[-2]
    document = _sums(jnp.tril(jnp.ones((size, size), jnp.float32)), (~same).astype(jnp.float32))
    return document, jnp.tril(document == jnp.swapaxes(document, -1, -2))


def _sums(which: Any, a: Any) -> Any:
    """Sums of the rows of ``a`` (…, C, K) that ``which`` (…, C, C) is 1 for: compiled as a product, not as a scan."""
    return jnp.matmul(which, a, precision="highest")


def channel_fades(decay: Any, same: Any, size: int) -> ChannelFades:
    """From log w (B, T, H, K), whose sum over ``size`` tokens has an inverse, and ``same`` (B, T)."""
    decay, same = split(decay, size), split(same[..., None, None], size, True)
    document, seen = _documents(same)
    earlier = jnp.tril(seen, -1)
    until, total = (_sums(which.astype(decay.dtype), decay) for which in (earlier, seen))
    first = (document == 0).astype(decay.dtype)
    after = jnp.where(document == document[..., -1:, :], jnp.exp(total[..., -1:, :] - total), 0)
    across = first[..., -1:, :] * jnp.exp(total[..., -1:, :])
    return ChannelFades(jnp.exp(total), jnp.exp(until), jnp.exp(-total), after, seen, earlier, first, across)
