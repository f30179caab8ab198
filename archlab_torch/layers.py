"""Linear map, embedding and dropout."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archlab import float8
from archlab import layers as specs
from archlab.spec import Part, join
from archlab_torch.kernels import float8 as rounded
from archlab_torch.kernels.linear import Packed, linear
from archlab_torch.module import Builder, Module, natives


@natives.register(specs.Linear)
class Linear(nn.Linear):
    """y = x W (+ b); the weight is (out, in), as PyTorch users expect."""

    def __init__(self, part: Part, builder: Builder, path: str) -> None:
        spec = part.spec
        super().__init__(part.width, spec.features, bias=spec.bias, device="meta")
        self.spec, self.width, self.path = spec, part.width, path
        params = spec.params(part.width)
        builder.param(self, "weight", params["kernel"], join(path, "kernel"), transposed=True)
        if spec.bias:
            builder.param(self, "bias", params["bias"], join(path, "bias"))
        self.float8 = float8.takes(builder.policy, spec, part.width)
        if self.float8:
            rounded.check(builder.device)
        self.packed: Any = None

    def pack(self, rows: int) -> None:
        """Lay the weight out for inputs of ``rows`` rows, where that is faster. Nothing may train it after that."""
        self.packed = Packed(self.weight, rows) if Packed.takes(self.weight) and not self.float8 else None

    @property
    def kernel(self) -> Any:
        """(in, out), the canonical name and layout."""
        return self.weight.T

    def forward(self, x: Any, ctx: Any) -> Any:  # type: ignore[override]
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        if self.packed is not None and x.dtype == self.packed.dtype:
            return self.packed(x, bias)
        if not self.float8:
            return linear(x, weight, bias)
        y = rounded.matmul(x, weight)
        return y if bias is None else y + bias


def joint(linears: Sequence[Linear], x: Any, ctx: Any) -> Sequence[Any]:
    """Several linear maps of one x, as one matrix product where that pays and nobody listens to them one by one."""
    biased = linears[0].spec.bias
    apart = any(linear.spec.bias != biased or linear.float8 for linear in linears)
    if apart or ctx.records is not None or not specs.side_by_side(x, linears):
        return [linear(x, ctx) for linear in linears]
    weight = torch.cat([linear.weight.to(x.dtype) for linear in linears])
    bias = torch.cat([linear.bias.to(x.dtype) for linear in linears]) if biased else None
    return linear(x, weight, bias).split([linear.spec.features for linear in linears], dim=-1)


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
