"""Rotary positions."""

from typing import Any

import torch

from archlab import rotary as specs
from archlab.spec import Part
from archlab_torch.kernels.turn import turn, turn_heads
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
        cos, sin = self.phases(x, ctx)
        wide = x[..., : self.size].to(dtype)
        y = turn(wide, cos, sin, half=self.spec.layout == "half").to(x.dtype)
        return y if self.size == x.shape[-1] else torch.cat([y, x[..., self.size :]], dim=-1)

    def takes(self, x: Any) -> bool:
        """Whether :meth:`turn_heads` is for x (…, K): all of it turns, and in its own dtype."""
        return self.size == x.shape[-1] and x.dtype == wide_dtype(x)

    def turn_heads(self, x: Any, heads: tuple[int, int], ctx: Any) -> tuple[Any, Any, Any]:
        """Queries and keys turned, and values, of x (B, T, H + G + V, K) in which they lie side by side."""
        return turn_heads(x, *self.phases(x, ctx), heads, half=self.spec.layout == "half")

    def phases(self, x: Any, ctx: Any) -> tuple[Any, Any]:
        """:meth:`angles` for x (…, K), worked out once a call."""
        dtype = wide_dtype(x)
        return once(ctx, (self.spec, x.shape[-1], dtype), lambda: self.angles(dtype, ctx))

    def angles(self, dtype: torch.dtype, ctx: Any) -> tuple[Any, Any]:
        """(cos, sin) of each pair's phase, (B, T, 1, R/2), or (1, T, 1, R/2) where rows are alike."""
        rates = self.rates.to(dtype)
        if isinstance(self.spec.scaling, specs.LengthScaling):
            rates = self.spec.scaling.at(ctx, rates, specs.document_lengths(ctx))
        positions = ctx.positions[:1] if ctx.plain else ctx.positions
        phase = (positions.to(dtype)[..., None] * rates)[:, :, None]
        cos, sin = torch.cos(phase), torch.sin(phase)
        return (cos, sin) if self.magnitude == 1.0 else (cos * self.magnitude, sin * self.magnitude)
