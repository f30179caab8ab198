"""Linear map, embedding and dropout."""

from typing import Any

import jax.numpy as jnp

from archlab import layers as specs
from archlab_jax.module import Module, natives


@natives.register(specs.Linear)
class Linear(Module):
    """y = x W (+ b); the kernel is (in, out)."""

    def forward(self, x: Any, ctx: Any) -> Any:
        y = jnp.dot(x, self.kernel[...].astype(x.dtype))
        return y + self.bias[...].astype(x.dtype) if self.spec.bias else y


@natives.register(specs.Embedding)
class Embedding(Module):
    """y = E[token]."""

    def forward(self, tokens: Any, ctx: Any) -> Any:
        return jnp.take(self.table[...], tokens, axis=0).astype(ctx.dtype)


@natives.register(specs.Dropout)
class Dropout(Module):
    """y = x · keep / (1 − rate) in training."""

    def forward(self, x: Any, ctx: Any) -> Any:
        if ctx.random is None:
            return x
        keep = ctx.random.keep(self.path, x.shape, 1.0 - self.spec.rate)
        return jnp.where(keep, x / (1.0 - self.spec.rate), 0).astype(x.dtype)
