"""Latent attention that decodes without keys and values."""

from typing import Any

import jax.numpy as jnp

from archlab.mixers import latent_attention as specs
from archlab.ops import merge_heads
from archlab_jax.mixers.attention import remembered
from archlab_jax.module import Module, View, natives


@natives.register(specs.LatentAttention)
class LatentAttention(Module):
    """softmax((q_C W_UKᵀ cᵀ + q_R k_Rᵀ) · scale) c W_UV W_O while decoding; the definition elsewhere."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec, m = self.spec, View(self)
        content, turned = spec.queries(m, x, ctx)
        new = spec.keys(m, x, ctx)
        seen, after = (new, None) if state is None else remembered(new, ctx, state, spec.window)
        own = state is None or ctx.fresh
        y = spec.attend(m, content, turned, seen, ctx) if own else self.attend(content, turned, seen, ctx)
        return self.out(merge_heads(y), ctx), after

    def attend(self, content: Any, turned: Any, seen: dict[str, Any], ctx: Any) -> Any:
        """(B, T, H, K) from the latents as they are."""
        latents = seen["latents"].astype(content.dtype)
        query = jnp.einsum("bthk,rhk->bthr", content, self.by_head(self.key, self.spec.content_size, content.dtype))
        wide = jnp.promote_types(content.dtype, jnp.float32)
        scores = jnp.einsum("bthr,bsr->bhts", query.astype(wide), latents.astype(wide))
        weights = self.spec.weights(scores, turned, seen, ctx)
        y = jnp.einsum("bhts,bsr->bthr", weights, latents)
        return jnp.einsum("bthr,rhk->bthk", y, self.by_head(self.value, self.spec.value_size, content.dtype))

    def by_head(self, linear: Any, size: int, dtype: Any) -> Any:
        """The matrix of a linear map from latents, (R, H, K)."""
        return linear.kernel[...].astype(dtype).reshape(-1, self.spec.heads, size)
