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
from archlab_jax.runtime import devices


@natives.register(specs.Attention)
class Attention(Module):
    """softmax(q kᵀ · scale + bias) v over the visible keys."""

    beside = (("query", "key", "value"),)

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy, spec = builder.policy, part.spec
        asked = {"bias": spec.score_bias, "softcap": spec.softcap, "dropout": spec.dropout, "sink": spec.sink}
        check_kernel(self.policy.attention, asked, path)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec = self.spec
        q, k, v = spec.arrange(View(self), *joint((self.query, self.key, self.value), x, ctx), ctx)
        own = state is None or ctx.fresh  # keys are those of the call's own tokens
        keys, state = self.remember(k, v, ctx, state)
        if spec.selection and own and ctx.plain and self.bare(ctx):
            scale, causal = spec.factor(q.shape[-1]), spec.visibility == "causal"
            y = self.selection.attend(q, k, v, scale=scale, causal=causal)
        elif spec.selection:
            y = spec.attend(View(self), q, keys, ctx)
        else:
            y = self.attend(q, keys, ctx, self.sees(keys, ctx, own))
        return spec.leave(View(self), y, x, ctx), state

    def sees(self, keys: dict[str, Any], ctx: Any, own: bool) -> Seen:
        """Which of ``keys`` are seen; ``own`` says that they are those of the call's own tokens."""
        sight = self.spec.sight
        if own:
            return Seen.own(ctx, sight, lambda: visible(ctx, sight, ctx.positions, ctx.documents))
        return Seen(mask=functools.partial(visible, ctx, sight, keys["positions"], keys["segments"]))

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
        new = {"keys": k, "values": v, "positions": ctx.positions}
        if state is not None or self.spec.selection:
            new["segments"] = ctx.documents
        if state is None:
            return new, None
        keys, after = remembered(new, ctx, state, self.spec.reach)
        one = k.shape[:2] == (1, 1) and not ctx.fresh
        parts = one and not self.spec.selection and devices(self.policy)[0].platform == "cpu"
        return _in_parts(state, new) if parts else keys, after


def remembered(new: dict[str, Any], ctx: Any, state: Any, reach: int | None) -> tuple[dict[str, Any], Any]:
    """The keys to attend to, of which ``new`` are this call's, and the new state.

    A cache holds ``reach`` keys, or all.
    """
    index, slots, count = state["index"], state["positions"].shape[1], new["positions"].shape[1]
    if reach is not None and count > 1:  # early queries need keys that later ones push out
        return new if ctx.fresh else specs.extended(jnp, state, new), specs.appended(ctx, state, new)
    turned = specs.heads_first(jnp, new)
    kept = {n: _put(state[n], turned[n].astype(state[n].dtype), index % slots) for n in new}
    after = updated(state, **kept, index=index + count)
    return new if ctx.fresh else specs.heads_first(jnp, kept), after


def _in_parts(state: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The cache as it was, and the new keys: XLA copies no cache that is read before it is written to.

    Where it is written to first, XLA's CPU backend does so twice, and copies it, if there is one row.
    """
    cached = specs.heads_first(jnp, {name: state[name] for name in new})
    both = {name: jnp.concatenate([cached[name], new[name]], axis=1) for name in ("positions", "segments")}
    return {**both, **{name: (cached[name], new[name]) for name in ("keys", "values")}}


def _put(kept: Any, new: Any, start: Any) -> Any:
    """``kept`` with ``new`` from slot ``start`` (B) on: both (B, S, …), or (B, G, S, K)."""
    axis = 2 if kept.ndim == 4 else 1
    if kept.shape[0] == 1:  # one row is a slice; of several with places of their own XLA makes a scatter
        return lax.dynamic_update_slice_in_dim(kept, new, start[0], axis=axis)
    return jax.vmap(functools.partial(lax.dynamic_update_slice_in_dim, axis=axis - 1))(kept, new, start)
