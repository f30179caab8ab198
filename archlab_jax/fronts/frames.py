"""Convolutions along a signal."""

from typing import Any

import jax
import jax.numpy as jnp

from archlab.fronts import frames as specs
from archlab_jax.module import Module, View, natives


@natives.register(specs.Convolution)
class Convolution(Module):
    """y_t = f(Σ_j x_{st + j − p} W_j + b)."""

    def forward(self, x: Any, ctx: Any) -> tuple[Any, Any]:
        spec, m = self.spec, View(self)
        if not ctx.plain:
            return spec.forward(m, x, ctx)
        before = (spec.taps - 1) // 2
        y = jax.lax.conv_general_dilated(
            x, m.kernel.astype(x.dtype), (spec.stride,), [(before, spec.taps - 1 - before)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
        )  # fmt: skip
        return spec.finished(m, y, x, ctx)
