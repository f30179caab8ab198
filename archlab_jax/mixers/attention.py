"""Multi-head attention with the kernel that the policy names."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from archlab.masks import Seen, visible
from archlab.mixers import attention as specs
from archlab.spec import Part, updated
from archlab_jax.kernels.attention import attend, check_kernel
from archlab_jax.layers import joint
from archlab_jax.module import Builder, Module, View, natives


@natives.register(specs.Attention)
class Attention(Module):
    """softmax(q kᵀ · scale + bias) v over the visible keys."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy, spec = builder.policy, part.spec
        asked = {"bias": spec.score_bias, "softcap": spec.softcap, "dropout": spec.dropout, "sink": spec.sink}
        check_kernel(self.policy.attention, asked, path)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec = self.spec
        q, k, v = spec.arrange(View(self), *joint((self.query, self.key, self.value), x, ctx), ctx)
        if spec.selection and state is None and ctx.plain and self.bare(ctx):
            scale, causal = spec.factor(q.shape[-1]), spec.visibility == "causal"
            y = self.selection.attend(q, k, v, scale=scale, causal=causal)
        elif spec.selection:
            keys, state = self.remember(k, v, ctx, state)
            y = spec.attend(View(self), q, keys, ctx)
        else:
            keys = {"keys": k, "values": v, "positions": ctx.positions}
            seen = Seen.own(ctx, spec.sight, lambda: visible(ctx, spec.sight, ctx.positions, ctx.documents))
            if state is not None:
                keys, state = self.remember(k, v, ctx, state)
                seen = Seen(mask=functools.partial(visible, ctx, spec.sight, keys["positions"], keys["segments"]))
            y = self.attend(q, keys, ctx, seen)
        return spec.leave(View(self), y, x, ctx), state

    def bare(self, ctx: Any) -> bool:
        """Whether a selection's own kernel can do all that is asked."""
        spec, dropped = self.spec, self.spec.dropout and ctx.random is not None
        extra = spec.score_bias or spec.softcap or spec.sink or dropped or spec.visibility == "prefix"
        return not extra and hasattr(self.selection, "attend")

    def attend(self, q: Any, keys: dict[str, Any], ctx: Any, seen: Seen) -> Any:
        """(B, T, H, K) by the policy's kernel."""
        spec, bias, drop = self.spec, None, None
        if spec.score_bias:
            like = jnp.zeros((), jnp.promote_types(q.dtype, jnp.float32))
            bias = self.score_bias(spec.heads, ctx, keys["positions"], like)
        if spec.dropout and ctx.random is not None:
            drop = lambda w: self.dropout(w.reshape(w.shape[0], -1, *w.shape[3:]), ctx).reshape(w.shape)  # noqa: E731
        return attend(
            q, keys["keys"], keys["values"], scale=spec.factor(q.shape[-1]), seen=seen, bias=bias,
            softcap=spec.softcap, sink=self.sink[...] if spec.sink else None, drop=drop, policy=self.policy,
        )  # fmt: skip

    def remember(self, k: Any, v: Any, ctx: Any, state: Any) -> tuple[dict[str, Any], Any]:
        """The keys to attend to, and the new state."""
        new = {"keys": k, "values": v, "positions": ctx.positions, "segments": ctx.documents}
        if state is None:
            return new, None
        slots, count = state["keys"].shape[1], k.shape[1]
        if self.spec.reach is not None and count > 1:  # early queries need keys that later ones push out
            return specs.extended(jnp, state, new), specs.appended(ctx, state, new)
        start = state["index"] % slots
        kept = {n: _put(state[n], new[n].astype(state[n].dtype), start) for n in new}
        return kept, updated(state, **kept, index=state["index"] + count)


def _put(kept: Any, new: Any, start: Any) -> Any:
    """``kept`` (B, S, …) with ``new`` (B, T, …) from slot ``start`` (B) on."""
    if kept.shape[0] == 1:  # one row is a slice; of several with places of their own XLA makes a scatter
        return lax.dynamic_update_slice_in_dim(kept, new, start[0], axis=1)
    return jax.vmap(functools.partial(lax.dynamic_update_slice_in_dim, axis=0))(kept, new, start)
