"""Attention to another sequence with the kernel that the policy names."""

import functools
from typing import Any

from archlab.masks import Seen, same_document
from archlab.mixers import cross_attention as specs
from archlab.spec import Part
from archlab_jax.kernels.attention import attend, check_kernel
from archlab_jax.module import Builder, Module, View, natives


@natives.register(specs.CrossAttention)
class CrossAttention(Module):
    """softmax(q kᵀ · scale) v over a memory."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.policy = builder.policy
        check_kernel(
            self.policy.attention, {"bias": None, "softcap": None, "dropout": part.spec.dropout, "sink": None}, path
        )

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec, drop = self.spec, None
        q = self.query(x, ctx).reshape(*x.shape[:2], spec.heads, -1)
        keys, state = spec.keys(View(self), ctx, state)
        if spec.dropout and ctx.random is not None:
            drop = lambda w: self.dropout(w.reshape(w.shape[0], -1, *w.shape[3:]), ctx).reshape(w.shape)  # noqa: E731
        seen = Seen(mask=functools.partial(same_document, ctx, keys["segments"]))
        y = attend(
            q, keys["keys"], keys["values"], scale=spec.factor(q.shape[-1]), seen=seen, bias=None, softcap=None,
            sink=None, drop=drop, policy=self.policy,
        )  # fmt: skip
        return self.out(y.reshape(*x.shape[:2], -1), ctx), state
