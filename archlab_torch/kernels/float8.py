"""Matrix products of tensors that are rounded to float8 (see :mod:`archlab.float8`).

PyTorch's scaled product runs on the float8 units of GPUs; its CPU version widens the same numbers and multiplies them.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from archlab.errors import InputError
from archlab.float8 import BACKWARD, CAPABILITY, FORWARD, LARGEST, MULTIPLE, SMALLEST, missing


class Scaled(NamedTuple):
    """A tensor as ``values`` in float8 times the number ``unit``."""

    values: Any
    unit: Any

    def flipped(self) -> "Scaled":
        return Scaled(self.values.T, self.unit)


def check(device: torch.device) -> None:
    """Raise :class:`InputError` unless ``device`` has float8 products, or is a CPU."""
    if device.type != "cpu" and torch.cuda.get_device_capability(device) < CAPABILITY:
        raise InputError(missing(torch.cuda.get_device_name(device)))


def matmul(x: Any, w: Any) -> Any:
    """x wᵀ: x (..., D), w (F, D)."""
    return _Product.apply(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[0])


class _Product(torch.autograd.Function):
    """y = x wᵀ, x (N, D), w (F, D)."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        x8, w8 = rounded(x, FORWARD), rounded(w, FORWARD)
        ctx.save_for_backward(*x8, *w8)
        return _product(x8, w8, x.dtype)

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        saved = ctx.saved_tensors
        x8, w8, slope8 = Scaled(*saved[:2]), Scaled(*saved[2:]), rounded(slope, BACKWARD)
        return _product(slope8, w8.flipped(), slope.dtype), _product(slope8.flipped(), x8.flipped(), slope.dtype)


def _product(a: Scaled, b: Scaled, dtype: Any) -> Any:
    """a bᵀ: a (M, K), b (N, K)."""
    each = F.ScalingType.TensorWise
    left, right = _even(a.values), _even(b.values).T
    return F.scaled_mm(left, right, a.unit, each, b.unit, each, output_dtype=dtype)


def _even(values: Any) -> Any:
    """Rows that follow each other in memory, zeros at their ends where the hardware asks for more columns."""
    lacking = -values.shape[1] % MULTIPLE
    if not lacking:
        return values.contiguous()
    return torch.cat([values, values.new_zeros((values.shape[0], lacking))], dim=1)


def rounded(x: Any, form: str) -> Scaled:
    """A tensor in the float8 format ``form``, times the largest power of two that keeps it within."""
    largest = x.abs().amax().float().clamp(min=SMALLEST)
    power = torch.frexp(LARGEST[form] / largest).exponent - 1
    one = torch.ones((), device=x.device)
    scale = torch.ldexp(one, power)
    # e4m3 knows no infinity: some casts end at its largest value.
    unit = torch.where(torch.isfinite(largest), torch.ldexp(one, -power), torch.nan)
    return Scaled((x * scale.to(x.dtype)).to(getattr(torch, form)), unit)
