"""Linear map, embedding and dropout."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from archlab import layers as specs
from archlab_jax.module import Module, natives


@natives.register(specs.Linear)
class Linear(Module):
    """y = x W (+ b); the kernel is (in, out)."""

    def forward(self, x: Any, ctx: Any) -> Any:
        y = jnp.dot(x, self.kernel[...].astype(x.dtype))
        return y + self.bias[...].astype(x.dtype) if self.spec.bias else y


def joint(linears: Sequence[Linear], x: Any, ctx: Any) -> list[Any]:
    """Several linear maps of one x, as one matrix product where nobody listens to them one by one."""
    if ctx.records is not None or any(linear.spec.bias for linear in linears):
        return [linear(x, ctx) for linear in linears]
    kernels = [linear.kernel[...].astype(x.dtype) for linear in linears]
    ends = np.cumsum([kernel.shape[1] for kernel in kernels])[:-1]
    return jnp.split(jnp.dot(x, jnp.concatenate(kernels, axis=1)), ends, axis=-1)


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
