"""Linear map, embedding and dropout."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archlab import float8
from archlab import layers as specs
from archlab.quantization import format_of
from archlab.spec import Part, join
from archlab_torch.kernels import float8 as rounded
from archlab_torch.kernels.linear import Packed, linear
from archlab_torch.kernels.quantization import Held, held
from archlab_torch.module import Builder, Module, natives


@natives.register(specs.Linear)
class Linear(nn.Linear):
    """y = x W (+ b); the weight is (out, in), as PyTorch users expect."""

    def __init__(self, part: Part, builder: Builder, path: str) -> None:
        spec = part.spec
        super().__init__(part.width, spec.features, bias=spec.bias, device="meta")
        self.spec, self.width, self.path = spec, part.width, path
        params, form = spec.params(part.width), format_of(builder.policy, spec, part.width)
        self.held: Held | None = None
        if form is None:
            builder.param(self, "weight", params["kernel"], join(path, "kernel"), transposed=True)
        else:
            dtype = getattr(torch, builder.policy.compute)
            self.register_parameter("weight", None)
            self.held = held(builder.weights[join(path, "kernel")], form, builder.device, dtype)
        if spec.bias:
            builder.param(self, "bias", params["bias"], join(path, "bias"))
        self.float8 = float8.takes(builder.policy, spec, part.width)
        if self.float8:
            rounded.check(builder.device)
        self.packed: Packed | None = None  # this map, or
        self.joined: Packed | None = None  # this map and those that are always called beside it

    @property
    def kernel(self) -> Any:
        """(in, out), the canonical name and layout."""
        return self.weight.T

    @property
    def plain(self) -> bool:
        """Whether it multiplies by its weight as it is."""
        return not self.float8 and self.held is None

    def forward(self, x: Any, ctx: Any) -> Any:  # type: ignore[override]
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.packed is not None and x.dtype == self.packed.dtype:
            return self.packed(x)
        if self.plain:
            return linear(x, self.weight.to(x.dtype), bias)
        y = rounded.matmul(x, self.weight.to(x.dtype)) if self.held is None else self.held(x)
        return y if bias is None else y + bias


def joint_product(linears: Sequence[Linear], x: Any, ctx: Any) -> Any:
    """What several linear maps make of one x, side by side (..., ΣF), as one matrix product.

    None where that does not pay, or somebody listens to them one by one.
    """
    if ctx.records is not None:
        return None
    if linears[0].joined is not None and x.dtype == linears[0].joined.dtype:
        return linears[0].joined(x)
    biased = linears[0].spec.bias
    apart = any(one.spec.bias != biased or not one.plain for one in linears)
    return None if apart or not specs.side_by_side(x, linears) else linear(x, *_joined(linears, x.dtype))


def _joined(linears: Sequence[Linear], dtype: torch.dtype) -> tuple[Any, Any]:
    """Weight and bias of maps side by side."""
    weight = torch.cat([one.weight.to(dtype) for one in linears])
    biased = linears[0].bias is not None
    return weight, torch.cat([one.bias.to(dtype) for one in linears]) if biased else None


def pack(module: nn.Module, rows: int) -> None:
    """Lay all linear maps out for inputs of ``rows`` rows, where that is faster. Nothing may train them after that.

    A module says by ``beside`` which of its maps it calls by :func:`joint_product`; these become one.
    """
    joined: set[Any] = set()
    for part in module.modules():
        for names in getattr(part, "beside", ()):
            linears = [getattr(part, name) for name in names]
            if all(_packs(one) and one.spec.bias == linears[0].spec.bias for one in linears):
                linears[0].joined = Packed(*_joined(linears, linears[0].weight.dtype), rows)
                joined.update(linears)
    for part in module.modules():
        if isinstance(part, Linear) and _packs(part) and part not in joined:
            part.packed = Packed(part.weight, part.bias, rows)


def _packs(part: Any) -> bool:
    return isinstance(part, Linear) and part.plain and Packed.takes(part.weight)


@natives.register(specs.Embedding)
class Embedding(nn.Embedding):
    """y = E[token]."""

    def __init__(self, part: Part, builder: Builder, path: str) -> None:
        nothing = torch.empty(part.spec.vocab, part.width, device="meta")  # given: to draw it imports half of PyTorch
        super().__init__(part.spec.vocab, part.width, _weight=nothing)
        self.spec, self.width, self.path = part.spec, part.width, path
        builder.param(self, "weight", part.spec.params(part.width)["table"], join(path, "table"))

    @property
    def table(self) -> Any:
        """(V, D), the canonical name."""
        return self.weight

    def forward(self, tokens: Any, ctx: Any) -> Any:  # type: ignore[override]
        return F.embedding(tokens, self.weight).to(ctx.dtype)


@natives.register(specs.Dropout)
class Dropout(Module):
    """y = x · keep / (1 − rate) in training."""

    def forward(self, x: Any, ctx: Any) -> Any:
        return x if ctx.random is None else ctx.random.dropout(self, x, ctx)
