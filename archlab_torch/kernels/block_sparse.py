"""Attention to a few blocks of keys that each query chooses: only their scores are computed."""

from typing import Any

import torch
import torch.nn.functional as F

from archlab_torch.kernels import grouped


def attend(q: Any, k: Any, v: Any, *, block: int, chosen: int, scale: float, causal: bool) -> Any:
    """softmax(q kᵀ · scale) v over a query's own block and the ``chosen`` others that fit it best.

    q (B, T, H, K), k and v (B, T, G, K) of whole rows → (B, T, H, K). See :class:`archlab.selection.TopBlocks`. A query
    goes to its blocks as a token goes to its experts: T · (chosen + 1) · block scores instead of T².
    """
    batch, length, heads, size = q.shape
    groups, count = k.shape[2], -(-length // block)
    wide, device = torch.promote_types(q.dtype, torch.float32), q.device
    q = q.reshape(batch, length, groups, heads // groups, size).permute(0, 2, 3, 1, 4).to(wide)  # B G R T K
    k, v = blocks(k, block).to(wide), blocks(v, block)  # B G N C K
    real = (torch.arange(count * block, device=device) < length).reshape(count, block)
    index, valid = choose(q.detach(), k.detach(), real, block, min(chosen, count), causal)
    route = Route(index, batch * groups * count)
    far = route.product(q[..., None, :], k.mT)  # B G R T c C
    far = torch.where(valid[..., None] & real[index], far, -torch.inf)
    near = own(q, k, block)  # B G R T C
    seen = torch.ones((block, block), dtype=torch.bool, device=device)
    seen = ((seen.tril() if causal else seen) & real[:, None, :]).reshape(-1, block)[:length]
    near = torch.where(seen, near, -torch.inf)
    scores = torch.cat([far.flatten(-2), near], dim=-1) * scale
    weights = torch.softmax(scores, dim=-1).to(v.dtype)
    far, near = weights[..., :-block].reshape(far.shape), weights[..., -block:]
    y = route.product(far, v).sum(dim=-2) + own(near, v.mT, block)
    return y.permute(0, 3, 1, 2, 4).reshape(batch, length, heads, size)


def blocks(a: Any, block: int) -> Any:
    """(B, T, G, K) → (B, G, N, C, K), filled up with zeros."""
    a = F.pad(a, (0, 0, 0, 0, 0, -a.shape[1] % block))
    return a.reshape(a.shape[0], -1, block, *a.shape[2:]).permute(0, 3, 1, 2, 4)


def choose(q: Any, k: Any, real: Any, block: int, chosen: int, causal: bool) -> tuple[Any, Any]:
    """Blocks (B, G, R, T, c) of each query, and whether there are as many; of equal ones the earlier."""
    mean = k.sum(dim=3) / real.sum(dim=-1)[:, None]
    fits = torch.einsum("bgrtk,bgnk->bgrtn", q, mean)
    theirs = torch.arange(mean.shape[2], device=q.device)
    mine = (torch.arange(q.shape[3], device=q.device) // block)[:, None]
    fits = torch.where(theirs < mine if causal else theirs != mine, fits, -torch.inf)
    values, index = torch.sort(fits, dim=-1, descending=True, stable=True)
    return index[..., :chosen], values[..., :chosen] > -torch.inf


def own(a: Any, b: Any, block: int) -> Any:
    """Products of each query's (B, G, R, T, X) with its own block's matrix (B, G, N, Y, X): (B, G, R, T, Y)."""
    length = a.shape[3]
    a = F.pad(a, (0, 0, 0, -length % block))
    a = a.reshape(*a.shape[:3], -1, block, a.shape[-1])
    y = torch.einsum("bgrncx,bgnyx->bgrncy", a, b)
    return y.reshape(*y.shape[:3], -1, y.shape[-1])[:, :, :, :length]


class Route:
    """Queries sorted by the block that they go to."""

    def __init__(self, index: Any, count: int) -> None:
        self.shape, most = index.shape, count // (index.shape[0] * index.shape[1])
        of = torch.arange(index.shape[0] * index.shape[1], device=index.device).reshape(*index.shape[:2], 1, 1, 1)
        group = (of * most + index).reshape(-1)
        self.order = torch.argsort(group, stable=True)
        self.back, self.ends = torch.argsort(self.order), torch.bincount(group, minlength=count).cumsum(0)

    def product(self, x: Any, w: Any) -> Any:
        """(B, G, R, T, c, Y): x (B, G, R, T, c or 1, X) times the matrix (X, Y) of its block in w (B, G, N, X, Y)."""
        rows = x.expand(*self.shape, x.shape[-1]).reshape(-1, x.shape[-1])
        y = grouped.product(rows[self.order], w.reshape(-1, *w.shape[3:]), self.ends)
        return y[self.back].reshape(*self.shape, -1)
