"""Latent attention that decodes without keys and values."""

from typing import Any

import torch

from archlab.mixers import latent_attention as specs
from archlab.mixers.attention import appended, extended
from archlab_torch.module import Module, natives


@natives.register(specs.LatentAttention)
class LatentAttention(Module):
    """softmax((q_C W_UKᵀ cᵀ + q_R k_Rᵀ) · scale) c W_UV W_O while decoding; the definition elsewhere."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec, m = self.spec, self
        if state is None:
            return spec.forward(m, x, ctx, state)
        content, turned = spec.queries(m, x, ctx)
        new = spec.keys(m, x, ctx)
        seen = extended(ctx.xp, state, new)
        latents = seen["latents"]
        query = torch.einsum("bthk,rhk->bthr", content, self.by_head(m.key, spec.content_size, x.dtype))
        wide = torch.promote_types(x.dtype, torch.float32)
        scores = torch.einsum("bthr,bsr->bhts", query.to(wide), latents.to(wide))
        weights = spec.weights(scores, turned, seen, ctx)
        y = torch.einsum("bhts,bsr->bthr", weights, latents)
        y = torch.einsum("bthr,rhk->bthk", y, self.by_head(m.value, spec.value_size, x.dtype))
        return self.out(y.reshape(*x.shape[:2], -1), ctx), appended(ctx, state, new)

    def by_head(self, linear: Any, size: int, dtype: Any) -> Any:
        """The matrix of a linear map from latents, (R, H, K)."""
        return linear.weight.T.to(dtype).reshape(-1, self.spec.heads, size)
