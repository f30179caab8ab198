"""Pairs turned by their angles, in as few passes over memory as PyTorch's operations allow."""

from typing import Any

import torch

LEAST = 1 << 14
"""Numbers below which a function in Python costs more than it gains."""


def turn(x: Any, cos: Any, sin: Any, *, half: bool) -> Any:
    """(a cos − b sin, b cos + a sin) for the pairs (a, b) of x (..., R); cos and sin (..., R/2) are constants.

    The pairs are (x_i, x_{i + R/2}) where ``half``, else (x_{2i}, x_{2i+1}).
    """
    if x.numel() < LEAST or torch.compiler.is_compiling():  # a compiler makes one pass of it by itself
        a, b = _pairs(x, half)
        turned = (a * cos - b * sin, b * cos + a * sin)
        return torch.cat(turned, dim=-1) if half else torch.stack(turned, dim=-1).flatten(-2)
    return _Turn.apply(x, cos, sin, half)


def turn_heads(x: Any, cos: Any, sin: Any, heads: tuple[int, int], *, half: bool) -> tuple[Any, Any, Any]:
    """q (…, H, R), k (…, G, R) and v of x (…, H + G + V, R), which holds them side by side; q and k are turned.

    Their derivatives are written side by side at once. Autograd would turn each back, and join them in a pass after it.
    """
    if x.requires_grad and torch.is_grad_enabled() and x.numel() >= LEAST:
        return _TurnHeads.apply(x, cos, sin, heads, half)
    turned = turn(x[..., : sum(heads), :], cos, sin, half=half)
    return *turned.split(heads, dim=-2), x[..., sum(heads) :, :]


def _pairs(x: Any, half: bool) -> tuple[Any, Any]:
    return x.chunk(2, dim=-1) if half else (x[..., 0::2], x[..., 1::2])


class _Turn(torch.autograd.Function):
    """Its derivative turns back."""

    @staticmethod
    def forward(ctx: Any, x: Any, cos: Any, sin: Any, half: bool) -> Any:
        ctx.save_for_backward(cos, sin)
        ctx.half = half
        y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        _write(y, x, cos, sin, half, 1)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return _Turn.apply(grad, cos, -sin, ctx.half), None, None, None


class _TurnHeads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, cos: Any, sin: Any, heads: tuple[int, int], half: bool) -> Any:
        ctx.save_for_backward(cos, sin)
        ctx.heads, ctx.half = heads, half
        turned = x.new_empty((*x.shape[:-2], sum(heads), x.shape[-1]))
        _write(turned, x[..., : sum(heads), :], cos, sin, half, 1)
        return *turned.split(heads, dim=-2), x[..., sum(heads) :, :]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (cos, sin), (dq, dk, dv) = ctx.saved_tensors, grads
        if torch.is_grad_enabled():  # a second derivative goes through it
            back = (_Turn.apply(grad, cos, -sin, ctx.half) for grad in (dq, dk))
            return torch.cat([*back, dv], dim=-2), None, None, None, None
        slope = dq.new_empty((*dq.shape[:-2], sum(g.shape[-2] for g in grads), dq.shape[-1]))
        of_q, of_k, of_v = slope.split([g.shape[-2] for g in grads], dim=-2)
        _write(of_q, dq, cos, sin, ctx.half, -1)
        _write(of_k, dk, cos, sin, ctx.half, -1)
        of_v.copy_(dv)
        return slope, None, None, None, None


def _write(y: Any, x: Any, cos: Any, sin: Any, half: bool, sign: int) -> None:
    """x turned forwards or, with a ``sign`` of −1, back, into y."""
    (a, b), (first, second) = _pairs(x, half), _pairs(y, half)
    torch.mul(a, cos, out=first)
    first.addcmul_(b, sin, value=-sign)
    torch.mul(b, cos, out=second)
    second.addcmul_(a, sin, value=sign)
