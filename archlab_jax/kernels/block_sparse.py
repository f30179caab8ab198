"""Attention to a few blocks of keys that each query chooses: only their scores are computed."""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.ops import upcast
from archlab_jax.kernels import grouped


def attend(q: Any, k: Any, v: Any, *, block: int, chosen: int, scale: float, causal: bool) -> Any:
    """softmax(q kᵀ · scale) v over a query's own block and the ``chosen`` others that fit it best.

    q (B, T, H, K), k and v (B, T, G, K) of whole rows → (B, T, H, K). See :class:`archlab.selection.TopBlocks`. A query
    goes to its blocks as a token goes to its experts: T · (chosen + 1) · block scores instead of T².
    """
    batch, length, heads, size = q.shape
    groups, count = k.shape[2], -(-length // block)
    q = q.reshape(batch, length, groups, heads // groups, size).transpose(0, 2, 3, 1, 4)  # B G R T K
    k, v = (blocks(a, block) for a in (k, v))  # B G N C K
    real = (jnp.arange(count * block) < length).reshape(count, block)
    index, valid = choose(q, k, real, block, min(chosen, count), causal)
    route = Route(index, batch * groups * count)
    wide = upcast(jnp, q).dtype
    far = route.product(upcast(jnp, q)[..., None, :], upcast(jnp, k).mT)  # B G R T c C
    far = jnp.where(valid[..., None] & real[index], far, -jnp.inf)
    near = own(upcast(jnp, q), upcast(jnp, k), block)  # B G R T C
    seen = jnp.tril(jnp.ones((block, block), bool)) if causal else jnp.ones((block, block), bool)
    seen = (seen & real[:, None, :]).reshape(-1, block)[:length]
    near = jnp.where(seen, near, -jnp.inf)
    scores = jnp.concatenate([far.reshape(*far.shape[:4], -1), near], axis=-1) * scale
    weights = jax.nn.softmax(scores.astype(wide), axis=-1).astype(v.dtype)
    far, near = weights[..., :-block].reshape(far.shape), weights[..., -block:]
    y = jnp.sum(route.product(far, v), axis=-2) + own(near, v.mT, block)
    return y.transpose(0, 3, 1, 2, 4).reshape(batch, length, heads, size)


def blocks(a: Any, block: int) -> Any:
    """(B, T, G, K) → (B, G, N, C, K), filled up with zeros."""
    a = jnp.pad(a, ((0, 0), (0, -a.shape[1] % block), (0, 0), (0, 0)))
    return a.reshape(a.shape[0], -1, block, *a.shape[2:]).transpose(0, 3, 1, 2, 4)


def choose(q: Any, k: Any, real: Any, block: int, chosen: int, causal: bool) -> tuple[Any, Any]:
    """Blocks (B, G, R, T, c) of each query, and whether there are as many; of equal ones the earlier."""
    mean = jnp.sum(upcast(jnp, k), axis=3) / jnp.sum(real, axis=-1)[:, None]
    fits = jnp.einsum("bgrtk,bgnk->bgrtn", upcast(jnp, q), mean)
    theirs, mine = jnp.arange(mean.shape[2]), (jnp.arange(q.shape[3]) // block)[:, None]
    fits = jnp.where(theirs < mine if causal else theirs != mine, jax.lax.stop_gradient(fits), -jnp.inf)
    values, index = jax.lax.top_k(fits, chosen)
    return index, values > -jnp.inf


def own(a: Any, b: Any, block: int) -> Any:
    """Products of each query's (B, G, R, T, X) with its own block's matrix (B, G, N, Y, X): (B, G, R, T, Y)."""
    length = a.shape[3]
    a = jnp.pad(a, ((0, 0),) * 3 + ((0, -length % block), (0, 0)))
    a = a.reshape(*a.shape[:3], -1, block, a.shape[-1])
    y = jnp.einsum("bgrncx,bgnyx->bgrncy", a, b)
    return y.reshape(*y.shape[:3], -1, y.shape[-1])[:, :, :, :length]


class Route:
    """Queries sorted by the block that they go to."""

    def __init__(self, index: Any, count: int) -> None:
        self.shape, most = index.shape, count // (index.shape[0] * index.shape[1])
        of = jnp.arange(index.shape[0] * index.shape[1]).reshape(*index.shape[:2], 1, 1, 1)
        group = (of * most + index).reshape(-1)
        self.order = jnp.argsort(group, stable=True)
        self.back, self.sizes = jnp.argsort(self.order), jnp.bincount(group, length=count)

    def product(self, x: Any, w: Any) -> Any:
        """(B, G, R, T, c, Y): x (B, G, R, T, c or 1, X) times the matrix (X, Y) of its block in w (B, G, N, X, Y)."""
        rows = jnp.broadcast_to(x, (*self.shape, x.shape[-1])).reshape(-1, x.shape[-1])
        y = grouped.product(rows[self.order], w.reshape(-1, *w.shape[3:]), self.sizes)
        return y[self.back].reshape(*self.shape, -1)
