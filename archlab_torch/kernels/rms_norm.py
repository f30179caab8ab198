"""RMSNorm on CPUs with its derivative in closed form, in half as many passes over memory as PyTorch's own takes."""

from typing import Any

import torch
import torch.nn.functional as F

from archlab_torch.runtime import is_eager

LEAST = 1 << 14
"""Numbers below which a function in Python costs more than it gains."""


def rms_norm(x: Any, gain: Any, epsilon: float) -> Any:
    """x / √(mean(x²) + ε) · g along the last axis, of x (..., D) and g (D)."""
    if torch.is_grad_enabled() and x.numel() >= LEAST and is_eager(gain):
        return _RMSNorm.apply(x, gain, epsilon)
    return F.rms_norm(x, (x.shape[-1],), gain, epsilon)


def _rate(x: Any, epsilon: float) -> Any:
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.rsqrt(norm * norm / x.shape[-1] + epsilon)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, gain: Any, epsilon: float) -> Any:
        rate = _rate(x, epsilon)
        ctx.save_for_backward(x, gain, rate)
        ctx.epsilon = epsilon
        return (x * rate).mul_(gain)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """With z = x · rate: x̄ = rate · (ȳ g − z · mean(ȳ g z)), ḡ = Σ ȳ z."""
        x, gain, rate = ctx.saved_tensors
        rate = _rate(x, ctx.epsilon) if torch.is_grad_enabled() else rate  # a second derivative goes through it
        z = x * rate
        slope = grad * z
        inner = (slope @ gain / x.shape[-1])[..., None]
        return torch.addcmul(grad * gain, z, inner, value=-1) * rate, slope.flatten(0, -2).sum(0), None
