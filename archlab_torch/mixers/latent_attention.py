"""Latent attention that decodes without keys and values."""

from typing import Any

import torch

from archlab.mixers import latent_attention as specs
from archlab.ops import merge_heads
from archlab_torch.mixers.attention import remembered
from archlab_torch.module import Module, natives


@natives.register(specs.LatentAttention)
class LatentAttention(Module):
    """softmax((q_C W_UKᵀ cᵀ + q_R k_Rᵀ) · scale) c W_UV W_O while decoding; the definition elsewhere."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec = self.spec
        content, turned = spec.queries(self, x, ctx)
        new = spec.keys(self, x, ctx)
        seen, after = (new, None) if state is None else remembered(new, ctx, state, spec.window)
        own = state is None or ctx.fresh
        y = spec.attend(self, content, turned, seen, ctx) if own else self.attend(content, turned, seen, ctx)
        return self.out(merge_heads(y), ctx), after

    def attend(self, content: Any, turned: Any, seen: dict[str, Any], ctx: Any) -> Any:
        """(B, T, H, K) from the latents as they are."""
        latents = seen["latents"].to(content.dtype)
        query = torch.einsum("bthk,rhk->bthr", content, self.by_head(self.key, self.spec.content_size, content.dtype))
        wide = torch.promote_types(content.dtype, torch.float32)
        scores = torch.einsum("bthr,bsr->bhts", query.to(wide), latents.to(wide))
        weights = self.spec.weights(scores, turned, seen, ctx)
        y = torch.einsum("bhts,bsr->bthr", weights, latents)
        return torch.einsum("bthr,rhk->bthk", y, self.by_head(self.value, self.spec.value_size, content.dtype))

    def by_head(self, linear: Any, size: int, dtype: Any) -> Any:
        """The matrix of a linear map from latents, (R, H, K)."""
        return linear.weight.T.to(dtype).reshape(-1, self.spec.heads, size)
