"""Whole models: ``logits = model(tokens)``."""

from typing import Any

import torch

from archlab import model as specs
from archlab import random as masks
from archlab.inputs import span
from archlab.spec import Part
from archlab_torch.module import Builder, Module, natives
from archlab_torch.runtime import Masks, Missing, Portable, context, rank_and_size


@natives.register(specs.Model)
class Model(Module):
    """Any model: its definition, callable with tokens alone."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy, self.device = builder.policy, builder.device

    def forward(  # type: ignore[override]
        self, inputs: Any, ctx: Any = None, state: Any = None, *, random: masks.Portable | None = None
    ) -> Any:
        """Logits (B, T, V) of tokens (B, T), or the output for a dict of inputs (:func:`archlab.inputs.prepare`).

        In ``train()`` mode, or with a source of ``random`` masks, dropout is on; under ``policy.random`` "portable"
        it raises :class:`InputError` without a source. With a context it is the definition, (logits, state).
        """
        if ctx is not None:
            return self.spec.forward(self, inputs, ctx, state)
        inputs = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        source = self._masks(random)
        ctx = context(self, span(self.spec, inputs), inputs, self.policy, self.device, random=source)
        return self(inputs, ctx, None)[0].to(getattr(torch, self.policy.output))

    def _masks(self, random: masks.Portable | None) -> Any:
        """The source of masks of a call."""
        if random is not None:
            return Portable(random.seed, random.step, rank_and_size(self.policy)[0], self.device)
        if not self.training:
            return None
        return Missing() if self.policy.random == "portable" else Masks(self.device)
