"""Rotary positions."""

from typing import Any

import torch

from archlab import rotary as specs
from archlab.spec import Part
from archlab_torch.kernels.turn import turn
from archlab_torch.module import Builder, Module, natives
from archlab_torch.norms import wide_dtype
from archlab_torch.runtime import once


@natives.register(specs.RoPE)
class RoPE(Module):
    """Pair i turns by t · theta^(−2i/R); phases in float32 at least."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        rates = torch.as_tensor(part.spec.rates(part.width), device=builder.device)
        self.register_buffer("rates", rates, persistent=False)
        self.size, self.magnitude = part.spec.rotated(part.width), part.spec.magnitude()

    def forward(self, x: Any, ctx: Any) -> Any:
        dtype = wide_dtype(x)
        cos, sin = once(ctx, (self.spec, x.shape[-1], dtype), lambda: self.angles(dtype, ctx))
        wide = x[..., : self.size].to(dtype)
        y = turn(wide, cos, sin, half=self.spec.layout == "half").to(x.dtype)
        return y if self.size == x.shape[-1] else torch.cat([y, x[..., self.size :]], dim=-1)

    def angles(self, dtype: torch.dtype, ctx: Any) -> tuple[Any, Any]:
        """(cos, sin) of each pair's phase, (B, T, 1, R/2), or (1, T, 1, R/2) where rows are alike."""
        rates = self.rates.to(dtype)
        if isinstance(self.spec.scaling, specs.LengthScaling):
            rates = self.spec.scaling.at(ctx, rates, specs.document_lengths(ctx))
        positions = ctx.positions[:1] if ctx.plain else ctx.positions
        phase = (positions.to(dtype)[..., None] * rates)[:, :, None]
        cos, sin = torch.cos(phase), torch.sin(phase)
        return (cos, sin) if self.magnitude == 1.0 else (cos * self.magnitude, sin * self.magnitude)
