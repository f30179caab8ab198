"""Whole models: ``logits = model(tokens)``."""

from typing import Any

from archlab import model as specs
from archlab import random as masks
from archlab.errors import InputError
from archlab.inputs import span
from archlab.spec import Part
from archlab_jax.module import Builder, Module, View, natives
from archlab_jax.runtime import Keys, Portable, context


@natives.register(specs.Model)
class Model(Module):
    """Any model: its definition, callable with tokens alone."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy = builder.policy

    def __call__(  # type: ignore[override]
        self, inputs: Any, ctx: Any = None, state: Any = None, *, key: Any = None, random: masks.Portable | None = None
    ) -> Any:
        """Logits (B, T, V) of tokens (B, T), or the output for a dict of inputs (:func:`archlab.inputs.prepare`).

        With a ``key``, or a source of ``random`` masks, dropout is on. With a context it is the definition,
        (logits, state). Raises :class:`InputError` for a key under ``policy.random`` "portable".
        """
        if ctx is not None:
            return super().__call__(inputs, ctx, state)
        inputs = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        ctx = context(self, span(self.spec, inputs), inputs, self.policy, random=self._masks(key, random))
        return self.spec.forward(View(self), inputs, ctx, None)[0].astype(self.policy.output)

    def _masks(self, key: Any, random: masks.Portable | None) -> Any:
        """The source of masks of a call."""
        if random is not None:
            return Portable.of_step(random.seed, random.step)
        if key is not None and self.policy.random == "portable":
            raise InputError(
                "policy.random=portable takes no key: call with random=archlab.random.Portable(seed, step)"
            )
        return None if key is None else Keys(key)
