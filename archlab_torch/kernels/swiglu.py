"""silu(a) ⊙ b of a product [a, b] on CPUs, whose derivative is written where the product's is wanted.

Autograd would make the derivatives of a and b apart and lay them side by side after that, in one more pass over memory.
"""

from typing import Any

import torch
import torch.nn.functional as F

from archlab_torch.runtime import is_eager

LEAST = 1 << 14
"""Numbers below which a function in Python costs more than it gains."""


def takes(y: Any) -> bool:
    """Whether y (..., 2F) is trained with here."""
    return torch.is_grad_enabled() and y.requires_grad and y.numel() >= LEAST and is_eager(y)


def swiglu(y: Any) -> Any:
    """silu(a) ⊙ b (..., F) for y = [a, b] (..., 2F)."""
    return _SwiGLU.apply(y)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Any) -> Any:
        a, b = y.chunk(2, dim=-1)
        gate = F.silu(a)
        ctx.save_for_backward(y, gate)
        return gate * b

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        y, gate = ctx.saved_tensors
        a, b = y.chunk(2, dim=-1)
        if torch.is_grad_enabled():  # a second derivative goes through it
            rate = torch.sigmoid(a)
            return torch.cat([grad * b * (rate * (1 + a * (1 - rate))), grad * a * rate], dim=-1)
        slope = torch.empty_like(y)
        of_a, of_b = slope.chunk(2, dim=-1)
        torch.mul(grad, gate, out=of_b)
        torch.ops.aten.silu_backward.grad_input(grad * b, a, grad_input=of_a)
        return slope
