"""Repeated layers, written out."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from archlab import stack as specs
from archlab.spec import Part, join, substate, updated
from archlab_torch.module import Builder, Module, natives

_DOTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default}


def _save_dots(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in _DOTS else CheckpointPolicy.PREFER_RECOMPUTE


REMAT: dict[str, dict[str, Any]] = {
    "dots": {"context_fn": lambda: create_selective_checkpoint_contexts(_save_dots)},
    "full": {},
}


@natives.register(specs.Stack)
class Stack(Module):
    """The pattern's layers, repeated, and the tail."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        spec, self.remat = part.spec, builder.policy.remat
        parts = [layer.at(part.width) for layer in spec.layers]
        self.layers = nn.ModuleList([builder.module(p, join(path, f"layers.{i}")) for i, p in enumerate(parts)])
        if builder.policy.compile:
            for layer in self.layers:
                layer.compile()

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if state is None:
            return self.train_layers(x, ctx), None
        states = []
        for i, layer in enumerate(self.layers):
            x, new = layer(x, ctx.at_depth(self.spec.depth(i)), substate(state, "layers")[i])
            states.append(new)
        return x, updated(state, layers=states)

    def train_layers(self, x: Any, ctx: Any) -> Any:
        """All layers without state, rematerialised as the policy says."""
        for i, layer in enumerate(self.layers):
            inner = ctx.at_depth(self.spec.depth(i))
            if self.remat == "none":
                x, _ = layer(x, inner, None)
            else:
                x = self.isolated(layer, inner, x)
        return x

    def isolated(self, layer: nn.Module, ctx: Any, x: Any) -> Any:
        """The layer's output, recomputed in the backward pass; what it notes is noted once."""

        def run(x: Any) -> Any:
            losses: dict[str, Any] | None = None if ctx.losses is None else {}
            y, _ = layer(x, ctx.replace(losses=losses), None)
            return y, losses or {}

        y, losses = checkpoint(run, x, use_reentrant=False, **REMAT[self.remat])
        for name, value in losses.items():
            ctx.add_loss(name, value)
        return y
