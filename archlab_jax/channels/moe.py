"""Mixtures of experts: tokens sorted by expert, and one grouped product for each of an expert's linear maps."""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.channels import moe as specs
from archlab.ops import upcast
from archlab_jax.kernels import grouped
from archlab_jax.module import Module, View, natives


@natives.register(specs.MoE)
class MoE(Module):
    """y = Σ_e w_e f_e(x) (+ shared), over the experts that a token goes to."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if self.spec.most is None:
            return super().forward(x, ctx, state)
        weights = self.router(x, ctx)
        weights, expert = jax.lax.top_k(weights.reshape(-1, weights.shape[-1]), self.spec.most)
        y = self.routed(x.reshape(-1, x.shape[-1]), weights, expert, ctx)
        return self.spec.join(View(self), y.reshape(x.shape), x, ctx, state)

    def routed(self, x: Any, weights: Any, expert: Any, ctx: Any) -> Any:
        """Σ weights · f(x) (N, D) over the k experts (N, k) of each row, in float32 at least."""
        order = jnp.argsort(expert.reshape(-1), stable=True)
        rows = jnp.repeat(x, self.spec.most, axis=0)[order]
        bank = Grouped(self.experts, expert.reshape(-1)[order])
        each = self.spec.expert.forward(bank, rows, ctx.without_records(), None)[0]
        each = each[jnp.argsort(order)].reshape(*weights.shape, -1)
        return jnp.sum(weights[..., None] * upcast(jnp, each), axis=1)


class Grouped:
    """A bank of experts as one expert's definition reads it: its linear maps take rows (N, D) sorted by expert."""

    def __init__(self, experts: Module, expert: Any) -> None:
        self.experts, self.expert = experts, expert
        self.sizes = jnp.bincount(expert, length=experts.spec.count)

    def __getattr__(self, name: str) -> Any:
        part = getattr(self.experts, name)
        return self.linear(part) if isinstance(part.spec, specs.ExpertLinear) else part

    def linear(self, part: Module) -> Any:
        """``part`` as a function (rows, ctx) → rows."""

        def apply(x: Any, ctx: Any) -> Any:
            y = grouped.product(x, part.kernel[...].astype(x.dtype), self.sizes)
            return grouped.add(y, part.bias[...].astype(x.dtype), self.expert) if part.spec.linear.bias else y

        return apply
