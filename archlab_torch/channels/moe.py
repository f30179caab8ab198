"""Mixtures of experts: tokens sorted by expert, and one grouped product for each of an expert's linear maps."""

from typing import Any

import torch

from archlab.channels import moe as specs
from archlab_torch.kernels import grouped
from archlab_torch.module import Module, natives


@natives.register(specs.MoE)
class MoE(Module):
    """y = Σ_e w_e f_e(x) (+ shared), over the experts that a token goes to."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if self.spec.most is None:
            return super().forward(x, ctx, state)
        weights = self.router(x, ctx)
        weights, expert = torch.topk(weights.flatten(0, 1), self.spec.most, dim=-1)
        y = self.routed(x.flatten(0, 1), weights, expert, ctx)
        return self.spec.join(self, y.reshape(x.shape), x, ctx, state)

    def routed(self, x: Any, weights: Any, expert: Any, ctx: Any) -> Any:
        """Σ weights · f(x) (N, D) over the k experts (N, k) of each row, in float32 at least."""
        order = torch.argsort(expert.flatten(), stable=True)
        rows = x.repeat_interleave(self.spec.most, dim=0).index_select(0, order)
        bank = Grouped(self.experts, expert.flatten().index_select(0, order))
        each = self.spec.expert.forward(bank, rows, ctx.without_records(), None)[0]
        each = each.index_select(0, torch.argsort(order)).reshape(*weights.shape, -1)
        return (weights[..., None] * each).sum(dim=1)


class Grouped:
    """A bank of experts as one expert's definition reads it: its linear maps take rows (N, D) sorted by expert."""

    def __init__(self, experts: Any, expert: Any) -> None:
        self.experts, self.expert = experts, expert
        last = torch.arange(experts.spec.count, device=expert.device)
        self.ends = torch.searchsorted(expert, last, right=True)

    def __getattr__(self, name: str) -> Any:
        part = getattr(self.experts, name)
        return self.linear(part) if isinstance(part.spec, specs.ExpertLinear) else part

    def linear(self, part: Any) -> Any:
        """``part`` as a function (rows, ctx) → rows."""

        def apply(x: Any, ctx: Any) -> Any:
            y = grouped.product(x, part.kernel.to(x.dtype), self.ends)
            return grouped.add(y, part.bias.to(x.dtype), self.expert) if part.spec.linear.bias else y

        return apply
