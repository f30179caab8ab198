"""Mamba by a scan."""

from typing import Any

import jax

from archlab.mixers import mamba as specs
from archlab_jax.kernels import selective
from archlab_jax.kernels.scan import by_doubling
from archlab_jax.module import Module, View, natives


@natives.register(specs.Mamba)
class Mamba(Module):
    """S_t = exp(−A Δ_t) ⊙ S_{t−1} + (Δ_t u_t) b_tᵀ;  o_t = S_t c_t + d ⊙ u_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(View(self), x, ctx, state, selective_scan)


def selective_scan(ctx: Any, step: Any, u: Any, rate: Any, b: Any, c: Any, same: Any, memory: Any) -> tuple[Any, Any]:
    """Token by token on a CPU, in log T steps on an accelerator."""
    if jax.default_backend() == "cpu":
        return selective.scan(step, u, rate, b, c, same, memory)
    return specs.selective_scan(ctx, step, u, rate, b, c, same, memory, by_doubling)
