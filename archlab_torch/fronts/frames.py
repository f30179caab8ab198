"""Convolutions along a signal."""

from typing import Any

import torch.nn.functional as F

from archlab.fronts import frames as specs
from archlab_torch.module import Module, natives


@natives.register(specs.Convolution)
class Convolution(Module):
    """y_t = f(Σ_j x_{st + j − p} W_j + b)."""

    def forward(self, x: Any, ctx: Any) -> tuple[Any, Any]:
        spec = self.spec
        if not ctx.plain:
            return spec.forward(self, x, ctx)
        before = (spec.taps - 1) // 2
        padded = F.pad(x.mT, (before, spec.taps - 1 - before))
        y = F.conv1d(padded, self.kernel.permute(2, 1, 0).to(x.dtype), stride=spec.stride)
        return spec.finished(self, y.mT, x, ctx)
