"""Whole models: ``logits = model(tokens)``."""

from typing import Any

import torch

from archlab import model as specs
from archlab.spec import Part
from archlab_torch.module import Builder, Module, natives
from archlab_torch.runtime import Masks, context


@natives.register(specs.Model)
class Model(Module):
    """Any model: its definition, callable with tokens alone."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy, self.device = builder.policy, builder.device

    def forward(self, inputs: Any, ctx: Any = None, state: Any = None) -> Any:
        """Logits (B, T, V) of tokens (B, T), or of a dict of them with ``positions``, ``segments``, ``prefix``.

        In ``train()`` mode dropout is on. With a context it is the definition, (logits, state).
        """
        if ctx is not None:
            return self.spec.forward(self, inputs, ctx, state)
        inputs = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        random = Masks(self.device) if self.training else None
        ctx = context(self, tuple(inputs["tokens"].shape), inputs, self.policy, self.device, random=random)
        return self(inputs, ctx, None)[0].to(getattr(torch, self.policy.output))
