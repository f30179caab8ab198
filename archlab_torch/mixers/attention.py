"""Multi-head attention with the kernel that the policy names."""

import functools
from typing import Any

import torch

from archlab.masks import Seen, visible
from archlab.mixers import attention as specs
from archlab.spec import Part, updated
from archlab_torch.kernels.attention import attend, check_kernel
from archlab_torch.layers import joint_product
from archlab_torch.module import Builder, Module, natives
from archlab_torch.runtime import is_eager


@natives.register(specs.Attention)
class Attention(Module):
    """softmax(q kᵀ · scale + bias) v over the visible keys."""

    beside = (("query", "key", "value"),)

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.kernel = builder.policy.attention
        spec = part.spec
        check_kernel(self.kernel, {"softcap": spec.softcap, "dropout": spec.dropout, "sink": spec.sink}, path)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec = self.spec
        q, k, v = self.project(x, ctx)
        own = state is None or ctx.fresh  # keys are those of the call's own tokens
        keys, state = self.remember(k, v, ctx, state)
        if spec.selection and own and ctx.plain and self.bare(ctx):
            scale, causal = spec.factor(q.shape[-1]), spec.visibility == "causal"
            y = self.selection.attend(q, k, v, scale=scale, causal=causal)
        elif spec.selection:
            y = spec.attend(self, q, keys, ctx)
        else:
            y = self.attend(q, keys, ctx, self.sees(keys, ctx, own))
        return spec.leave(self, y, x, ctx), state

    def project(self, x: Any, ctx: Any) -> tuple[Any, Any, Any]:
        """Queries (B, T, H, K), keys and values (B, T, G, K), normalised and rotated."""
        spec, linears = self.spec, (self.query, self.key, self.value)
        y = joint_product(linears, x, ctx)
        if y is None:
            return spec.arrange(self, *(linear(x, ctx) for linear in linears), ctx)
        if spec.qk_norm is None and is_eager(y):  # by head first: derivatives are joined without a copy of each
            by_head, counts = y.unflatten(-1, (-1, spec.size(self.width))), (spec.heads, spec.kv_heads)
            if spec.rotary is None:
                return by_head.split((*counts, spec.kv_heads), dim=-2)
            if hasattr(self.rotary, "turn_heads") and self.rotary.takes(by_head):
                return self.rotary.turn_heads(by_head, counts, ctx)
        return spec.arrange(self, *y.split([linear.spec.features for linear in linears], dim=-1), ctx)

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
            like = q.new_zeros((), dtype=torch.promote_types(q.dtype, torch.float32))
            bias = self.score_bias(spec.heads, ctx, keys["positions"], like)
        if spec.dropout and ctx.random is not None:
            drop = lambda w: self.dropout(w, ctx)  # noqa: E731
        return attend(
            q, keys["keys"], keys["values"], scale=spec.factor(q.shape[-1]), seen=seen, bias=bias,
            softcap=spec.softcap, sink=self.sink if spec.sink else None, drop=drop, kernel=self.kernel,
        )  # fmt: skip

    def remember(self, k: Any, v: Any, ctx: Any, state: Any) -> tuple[dict[str, Any], Any]:
        """The keys to attend to, and the new state, whose buffers are written in place."""
        new = {"keys": k, "values": v, "positions": ctx.positions}
        if state is not None or self.spec.selection:
            new["segments"] = ctx.documents
        return (new, None) if state is None else remembered(new, ctx, state, self.spec.reach)


def remembered(new: dict[str, Any], ctx: Any, state: Any, reach: int | None) -> tuple[dict[str, Any], Any]:
    """The keys to attend to, of which ``new`` are this call's, and the new state, whose buffers are written in place.

    A cache holds ``reach`` keys, or all.
    """
    rows, count = new["positions"].shape
    if reach is not None and count > 1:  # early queries need keys that later ones push out
        return new if ctx.fresh else specs.extended(ctx.xp, state, new), specs.appended(ctx, state, new)
    index, slots = state["index"], state["positions"].shape[1]
    where = (index[:, None] + torch.arange(count, device=index.device)) % slots
    row = torch.arange(rows, device=index.device)[:, None]
    kept = specs.heads_first(ctx.xp, {n: state[n] for n in new})  # views
    for n, cached in kept.items():
        cached.index_put_((row, where), new[n].to(cached.dtype))
    return new if ctx.fresh else kept, updated(state, index=index + count)
