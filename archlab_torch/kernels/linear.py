"""x Wᵀ + b by oneDNN on CPUs, which is faster there in float32 than the library behind ``F.linear``.

oneDNN compiles its products for the processor it runs on; MKL holds back on processors of other makers. The weight's
gradient stays with MKL, which is as fast at products that contract the long side. For few rows, as in decoding, a
weight that is laid out for them once (:class:`Packed`) is read at the speed of memory.
"""

import itertools
import weakref
from typing import Any

import torch
import torch.nn.functional as F

from archlab_torch.runtime import is_eager

ONEDNN = torch.backends.mkldnn.is_available()
LEAST = 1 << 25
"""Multiplications below which calling oneDNN through Python costs more than it gains."""


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x (..., D), weight (F, D), bias (F) or None → (..., F)."""
    if sums_rows(x.device, x.numel() // x.shape[-1]):
        y = (x.unsqueeze(-2) * weight).sum(dim=-1)
        return y if bias is None else y + bias
    if not _takes(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Product.apply(x, weight, bias)
    return product(x, weight, bias)


def sums_rows(device: torch.device, rows: int) -> bool:
    """Whether a product is a sum that the compiler writes: in decoding on a CPU, for one row.

    It reads the weight in the order in which it lies, at the speed of memory, with what comes before and after it and
    the widening of integers in the same loop; oneDNN's product of one row takes twice the time.
    """
    return rows == 1 and device.type == "cpu" and torch.compiler.is_compiling() and not torch.is_grad_enabled()


def product(x: Any, weight: Any, bias: Any = None) -> Any:
    """oneDNN's product, without derivative; ``weight`` may be in its own layout."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Packed:
    """A copy of a linear map, laid out by oneDNN for inputs of ``rows`` rows: x → x Wᵀ + b, without derivative.

    Compilers see one operator that knows the map by a number: they cannot hold a tensor in oneDNN's layout.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> None:
        self.features, self.dtype = weight.shape[0], weight.dtype
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
        self.bias = None if bias is None else bias.detach()
        self.number = next(_numbers)
        _packed[self.number] = self

    @classmethod
    def takes(cls, weight: torch.Tensor) -> bool:
        """Whether oneDNN has a layout for ``weight``."""
        return ONEDNN and is_eager(weight) and weight.dtype == torch.float32

    def __call__(self, x: Any) -> Any:
        if torch.compiler.is_compiling():
            return torch.ops.archlab.packed_linear(x, self.number, self.features)
        return product(x, self.weight, self.bias)


_numbers = itertools.count()
_packed: "weakref.WeakValueDictionary[int, Packed]" = weakref.WeakValueDictionary()
_library = torch.library.Library("archlab", "DEF")  # by hand: a call costs less than by torch.library.custom_op
_library.define("packed_linear(Tensor x, int number, int features) -> Tensor")


@torch.library.impl(_library, "packed_linear", "CPU")
def _packed_linear(x: Any, number: int, features: int) -> Any:
    found = _packed[number]
    return product(x, found.weight, found.bias)


@torch.library.register_fake("archlab::packed_linear", lib=_library)
def _shape(x: Any, number: int, features: int) -> Any:
    return x.new_empty((*x.shape[:-1], features))


def _takes(x: torch.Tensor, weight: torch.Tensor) -> bool:
    small = x.dtype != torch.float32 or x.numel() * weight.shape[0] < LEAST
    return not small and ONEDNN and is_eager(x) and is_eager(weight)


class _Product(torch.autograd.Function):
    """x Wᵀ + b with its derivative, whose products are :func:`linear` too: it has second derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, weight = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        need_x, need_weight, need_bias = ctx.needs_input_grad
        return (
            linear(grad, weight.T) if need_x else None,
            rows.T @ x.flatten(0, -2) if need_weight else None,
            rows.sum(0) if need_bias else None,
        )
