"""Rotary positions."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from archlab import rotary as specs
from archlab.ops import upcast
from archlab.spec import Part
from archlab_jax.module import Builder, Module, natives
from archlab_jax.runtime import devices


@natives.register(specs.RoPE)
class RoPE(Module):
    """Pair i turns by t · theta^(−2i/R); phases in float32 at least."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        self.size, self.magnitude = part.spec.rotated(part.width), part.spec.magnitude()
        self.on_cpu = devices(builder.policy)[0].platform == "cpu"

    def forward(self, x: Any, ctx: Any) -> Any:
        wide = upcast(jnp, x[..., : self.size])
        rates = jnp.asarray(self.spec.rates(x.shape[-1]), dtype=wide.dtype)
        if isinstance(self.spec.scaling, specs.LengthScaling):
            rates = self.spec.scaling.at(ctx, rates, specs.document_lengths(ctx))
        positions = ctx.positions[:1] if ctx.plain else ctx.positions  # rows that are alike turn alike
        phase = (positions.astype(wide.dtype)[..., None] * rates)[:, :, None]
        cos, sin = jnp.cos(phase) * self.magnitude, jnp.sin(phase) * self.magnitude
        if self.on_cpu:
            cos, sin = apart(cos), apart(sin)
        half = self.spec.layout == "half"
        a, b = jnp.split(wide, 2, axis=-1) if half else (wide[..., 0::2], wide[..., 1::2])
        turned = (a * cos - b * sin, b * cos + a * sin)
        y = jnp.concatenate(turned, axis=-1) if half else jnp.stack(turned, axis=-1).reshape(wide.shape)
        return jnp.concatenate([y.astype(x.dtype), x[..., self.size :]], axis=-1)


def apart(table: Any) -> Any:
    """``table`` (…, N), as the product with an identity matrix, which XLA's CPU backend joins with nothing.

    Else it would compute sines and cosines anew for each row and head, in every loop that turns something, and it
    removes the barriers that are there to prevent that. Layers with equal tables share one such product.
    """
    return jnp.matmul(table, np.eye(table.shape[-1], dtype=table.dtype), precision=lax.Precision.HIGHEST)
