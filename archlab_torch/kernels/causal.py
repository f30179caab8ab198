"""Causal attention on CPUs by products of whole matrices, a block of queries at a time; short rows are one block.

PyTorch's fused kernel for CPUs multiplies small tiles, at half of the speed of its matrix products. Here each block of
queries takes one product with all keys up to its own, so that of what is masked only triangles are computed. The
weights are kept for the backward pass, T²/2 numbers a head, which is why long sequences stay with the fused kernel.
"""

import functools
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from archlab_torch.runtime import is_eager

BLOCK = 64
"""Queries a block."""
SHORTEST, LONGEST = 96, 1024  # sequences of several blocks: shorter ones are too few numbers for so many calls
LEAST = 1 << 14
"""Numbers of queries below which a function in Python costs more than it gains."""


def takes(q: Any, k: Any) -> bool:
    """Whether q (B, T, H, K) and k (B, T, G, K) are trained with here."""
    trained = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
    length = q.shape[1]
    fits = length == k.shape[1] and (length <= BLOCK or SHORTEST <= length <= LONGEST)
    return trained and fits and q.numel() >= LEAST and q.dtype == torch.float32 and is_eager(q)


def attend(q: Any, k: Any, v: Any, scale: float) -> Any:
    """softmax(q kᵀ · scale) v over each token and those before it; q (B, T, H, K), k and v (B, T, G, K)."""
    repeats = q.shape[2] // k.shape[2]
    if repeats > 1:
        k, v = (a[:, :, :, None].expand(-1, -1, -1, repeats, -1).flatten(2, 3) for a in (k, v))
    return (_Short if q.shape[1] <= BLOCK else _Causal).apply(q, k, v, scale)


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


class _Causal(torch.autograd.Function):
    """As with PyTorch's fused kernels there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
        q, k, v = (a.transpose(1, 2).contiguous() for a in (q, k, v))
        y, kept = torch.empty_like(v), []
        for start, end in _blocks(q.shape[2]):
            scores = (q[:, :, start:end] * scale) @ k[:, :, :end].mT
            later = torch.ones(end - start, end - start, dtype=torch.bool).triu(1)
            scores[..., start:].masked_fill_(later, -torch.inf)
            kept.append(torch.softmax(scores, dim=-1))
            y[:, :, start:end] = kept[-1] @ v[:, :, :end]
        ctx.save_for_backward(q, k, v, y, *kept)
        ctx.scale = scale
        return y.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        q, k, v, y, *kept = ctx.saved_tensors
        grad = grad.transpose(1, 2).contiguous()
        mean = (grad * y).sum(dim=-1, keepdim=True)  # Σ w w̄ of each query
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (start, end), weights in zip(_blocks(q.shape[2]), kept, strict=True):
            g = grad[:, :, start:end]
            dv[:, :, :end] += weights.mT @ g
            slope = (g @ v[:, :, :end].mT).sub_(mean[:, :, start:end]).mul_(weights)
            torch.mul(slope @ k[:, :, :end], ctx.scale, out=dq[:, :, start:end])
            dk[:, :, :end].add_(slope.mT @ q[:, :, start:end], alpha=ctx.scale)
        return dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2), None


class _Short(torch.autograd.Function):
    """All queries as one block, whose triangle is not cut out: fewer calls, and the softmax's derivative is one."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
        rows = q.shape[0]
        q, k, v = (_matrices(a) for a in (q, k, v))
        weights = torch.softmax(torch.baddbmm(_later(q.shape[1]), q, k.mT, alpha=scale), dim=-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.rows = scale, rows
        return _heads(weights @ v, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        q, k, v, weights = ctx.saved_tensors
        grad = _matrices(grad)
        slope = torch.ops.aten._softmax_backward_data(grad @ v.mT, weights, -1, weights.dtype)
        dq, dk = (slope @ k).mul_(ctx.scale), (slope.mT @ q).mul_(ctx.scale)
        return *(_heads(d, ctx.rows) for d in (dq, dk, weights.mT @ grad)), None


def _matrices(x: Any) -> Any:
    """(B, T, H, K) as (B·H, T, K)."""
    return x.transpose(1, 2).flatten(0, 1)


def _heads(x: Any, rows: int) -> Any:
    """(B·H, T, K) as (B, T, H, K)."""
    return x.unflatten(0, (rows, -1)).transpose(1, 2)


@functools.lru_cache
def _later(length: int) -> Any:
    """−∞ where a key comes after the query."""
    return torch.full((length, length), -torch.inf, dtype=torch.float32, device="cpu").triu(1)
