"""Latent attention that decodes without keys and values."""

from typing import Any

import jax.numpy as jnp

from archlab.mixers import latent_attention as specs
from archlab.mixers.attention import appended, extended
from archlab_jax.module import Module, View, natives


@natives.register(specs.LatentAttention)
class LatentAttention(Module):
    """softmax((q_C W_UKᵀ cᵀ + q_R k_Rᵀ) · scale) c W_UV W_O while decoding; the definition elsewhere."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec, m = self.spec, View(self)
        if state is None:
            return spec.forward(m, x, ctx, state)
        content, turned = spec.queries(m, x, ctx)
        new = spec.keys(m, x, ctx)
        seen = extended(ctx.xp, state, new)
        latents = seen["latents"]
        query = jnp.einsum("bthk,rhk->bthr", content, self.by_head(m.key, spec.content_size, x.dtype))
        wide = jnp.promote_types(x.dtype, jnp.float32)
        scores = jnp.einsum("bthr,bsr->bhts", query.astype(wide), latents.astype(wide))
        weights = spec.weights(scores, turned, seen, ctx)
        y = jnp.einsum("bhts,bsr->bthr", weights, latents)
        y = jnp.einsum("bthr,rhk->bthk", y, self.by_head(m.value, spec.value_size, x.dtype))
        return self.out(y.reshape(*x.shape[:2], -1), ctx), appended(ctx, state, new)

    def by_head(self, linear: Any, size: int, dtype: Any) -> Any:
        """The matrix of a linear map from latents, (R, H, K)."""
        return linear.kernel[...].astype(dtype).reshape(-1, self.spec.heads, size)
