"""Mamba by a scan."""

import functools
from typing import Any

from archlab.mixers import mamba as specs
from archlab_torch.kernels.scan import linear_scan
from archlab_torch.module import Module, natives


@natives.register(specs.Mamba)
class Mamba(Module):
    """S_t = exp(−A Δ_t) ⊙ S_{t−1} + (Δ_t u_t) b_tᵀ;  o_t = S_t c_t + d ⊙ u_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.spec.forward(self, x, ctx, state, selective_scan)


selective_scan = functools.partial(specs.selective_scan, scan=linear_scan)
