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


def _pairs(x: Any, half: bool) -> tuple[Any, Any]:
    return x.chunk(2, dim=-1) if half else (x[..., 0::2], x[..., 1::2])


class _Turn(torch.autograd.Function):
    """Its derivative turns back."""

    @staticmethod
    def forward(ctx: Any, x: Any, cos: Any, sin: Any, half: bool) -> Any:
        ctx.save_for_backward(cos, sin)
        ctx.half = half
        (a, b), y = _pairs(x, half), torch.empty(x.shape, dtype=x.dtype, device=x.device)
        first, second = _pairs(y, half)
        torch.mul(a, cos, out=first)
        first.addcmul_(b, sin, value=-1)
        torch.mul(b, cos, out=second)
        second.addcmul_(a, sin)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return _Turn.apply(grad, cos, -sin, ctx.half), None, None, None
