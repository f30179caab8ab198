"""Normalisation along the last axis."""

from typing import Any

import torch
import torch.nn.functional as F

from archlab import norms as specs
from archlab_torch.kernels.rms_norm import rms_norm
from archlab_torch.module import Module, natives


def wide_dtype(x: torch.Tensor) -> torch.dtype:
    """float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


@natives.register(specs.RMSNorm)
class RMSNorm(Module):
    """y = x / √(mean(x²) + ε) · g."""

    def forward(self, x: Any, ctx: Any) -> Any:
        wide = x.to(wide_dtype(x))
        late = self.spec.cast == "before"  # the scale multiplies after the cast
        scale = self.scale.to(x.dtype if late else wide.dtype)
        gain = 1 + scale if self.spec.unit_offset else scale
        if late and wide.dtype != x.dtype:
            return F.rms_norm(wide, (x.shape[-1],), None, self.spec.epsilon).to(x.dtype) * gain
        return rms_norm(wide, gain, self.spec.epsilon).to(x.dtype)


@natives.register(specs.LayerNorm)
class LayerNorm(Module):
    """y = (x − mean(x)) / √(var(x) + ε) · g + b."""

    def forward(self, x: Any, ctx: Any) -> Any:
        spec, wide = self.spec, x.to(wide_dtype(x))
        dtype = x.dtype if spec.cast == "before" else wide.dtype
        scale = self.scale.to(dtype) if spec.scale else None
        bias = self.bias.to(dtype) if spec.bias else None
        if dtype == wide.dtype:
            return F.layer_norm(wide, (x.shape[-1],), scale, bias, spec.epsilon).to(x.dtype)
        y = F.layer_norm(wide, (x.shape[-1],), None, None, spec.epsilon).to(dtype)
        y = y if scale is None else y * scale
        return y if bias is None else y + bias
