"""Whole models: ``logits = model(tokens)``."""

from typing import Any

from archlab import model as specs
from archlab.spec import Part
from archlab_jax.module import Builder, Module, View, natives
from archlab_jax.runtime import Keys, context


@natives.register(specs.Model)
class Model(Module):
    """Any model: its definition, callable with tokens alone."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy = builder.policy

    def __call__(self, inputs: Any, ctx: Any = None, state: Any = None, *, key: Any = None) -> Any:  # type: ignore[override]
        """Logits (B, T, V) of tokens (B, T), or of a dict of them with ``positions``, ``segments``, ``prefix``.

        With a ``key`` dropout is on. With a context it is the definition, (logits, state).
        """
        if ctx is not None:
            return super().__call__(inputs, ctx, state)
        inputs = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        random = None if key is None else Keys(key)
        ctx = context(self, inputs["tokens"].shape, inputs, self.policy, random=random)
        return self.spec.forward(View(self), inputs, ctx, None)[0].astype(self.policy.output)
