"""The real-gated linear recurrent unit by a scan."""

from typing import Any

from archlab.mixers import rg_lru as specs
from archlab_jax.kernels.scan import linear_scan
from archlab_jax.module import Module, View, natives


@natives.register(specs.RGLRU)
class RGLRU(Module):
    """h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ i_t ⊙ u_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(View(self), x, ctx, state, linear_scan)
