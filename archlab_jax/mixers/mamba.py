"""Mamba by a scan."""

from typing import Any

from archlab.mixers import mamba as specs
from archlab_jax.kernels.scan import linear_scan
from archlab_jax.module import Module, View, natives


@natives.register(specs.Mamba)
class Mamba(Module):
    """S_t = exp(−A Δ_t) ⊙ S_{t−1} + (Δ_t u_t) b_tᵀ;  o_t = S_t c_t + d ⊙ u_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(View(self), x, ctx, state, linear_scan)
