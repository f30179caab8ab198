"""Normalisation along the last axis."""

from typing import Any

import jax.numpy as jnp

from archlab import norms as specs
from archlab.ops import upcast
from archlab_jax.kernels.norm import standardize
from archlab_jax.layers import broadcast
from archlab_jax.module import Module, natives


@natives.register(specs.RMSNorm)
class RMSNorm(Module):
    """y = x / √(mean(x²) + ε) · g."""

    def forward(self, x: Any, ctx: Any) -> Any:
        y = standardize(upcast(jnp, x), self.spec.epsilon, False)
        if self.spec.cast == "before":
            y = y.astype(x.dtype)
        scale = self.scale[...].astype(y.dtype)
        return broadcast(jnp.multiply, y, 1 + scale if self.spec.unit_offset else scale).astype(x.dtype)


@natives.register(specs.LayerNorm)
class LayerNorm(Module):
    """y = (x − mean(x)) / √(var(x) + ε) · g + b."""

    def forward(self, x: Any, ctx: Any) -> Any:
        y = standardize(upcast(jnp, x), self.spec.epsilon, True)
        if self.spec.cast == "before":
            y = y.astype(x.dtype)
        if self.spec.scale:
            y = broadcast(jnp.multiply, y, self.scale[...])
        if self.spec.bias:
            y = broadcast(jnp.add, y, self.bias[...])
        return y.astype(x.dtype)
