"""Normalisation along the last axis. Statistics are computed in float32 at least."""

from typing import Any, Literal

from archlab.inits import Ones, Zeros
from archlab.ops import rearrange, upcast
from archlab.spec import Example, Norm, Param


class RMSNorm(Norm):
    """y = x / √(mean(x²) + ε) · g  (https://arxiv.org/abs/1910.07467).

    epsilon
        Added to the mean square, inside the root.
    unit_offset
        The stored scale s means g = 1 + s and starts at 0 (Gemma); else g = s, from 1.
    cast
        Where a low-precision input's dtype returns: "before" the scale multiplies (Llama), or
        "after" (Gemma), when the product is still computed in float32.
    """

    epsilon: float
    unit_offset: bool = False
    cast: Literal["before", "after"] = "before"

    def check(self) -> None:
        self.require(self.epsilon >= 0, "epsilon", "must be ≥ 0")

    def params(self, width: int) -> dict[str, Param]:
        init = Zeros() if self.unit_offset else Ones()
        return {"scale": Param(shape=(width,), axes="D", init=init)}

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, wide = ctx.xp, upcast(ctx.xp, x)
        normed = wide / xp.sqrt(xp.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon)
        if self.cast == "before":
            normed = xp.astype(normed, x.dtype)
        scale = xp.astype(m.scale, normed.dtype)
        gain = 1.0 + scale if self.unit_offset else scale
        return xp.astype(normed * gain, x.dtype)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(epsilon=1e-6)),
            Example(spec=cls(epsilon=1e-5, unit_offset=True, cast="after")),
            Example(spec=cls(epsilon=1e-2, cast="after")),
        ]


class LayerNorm(Norm):
    """y = (x − mean(x)) / √(var(x) + ε) · g + b, var the biased one  (https://arxiv.org/abs/1607.06450).

    ``bias`` and ``scale`` say whether b and g exist; ``cast`` is as in :class:`RMSNorm`.
    """

    epsilon: float
    bias: bool
    scale: bool = True
    cast: Literal["before", "after"] = "after"

    def check(self) -> None:
        self.require(self.epsilon >= 0, "epsilon", "must be ≥ 0")

    def params(self, width: int) -> dict[str, Param]:
        table = {}
        if self.scale:
            table["scale"] = Param(shape=(width,), axes="D", init=Ones())
        if self.bias:
            table["bias"] = Param(shape=(width,), axes="D", init=Zeros())
        return table

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, wide = ctx.xp, upcast(ctx.xp, x)
        centred = wide - xp.mean(wide, axis=-1, keepdims=True)
        y = centred / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + self.epsilon)
        if self.cast == "before":
            y = xp.astype(y, x.dtype)
        if self.scale:
            y = y * xp.astype(m.scale, y.dtype)
        if self.bias:
            y = y + xp.astype(m.bias, y.dtype)
        return xp.astype(y, x.dtype)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(epsilon=1e-5, bias=True)),
            Example(spec=cls(epsilon=1e-2, bias=False, cast="before")),
            Example(spec=cls(epsilon=1e-5, bias=False, scale=False)),
        ]


class GroupNorm(Norm):
    """y = (x − mean) / √(var + ε) · g + b, mean and variance taken over each of several parts of the last axis.

    ``groups`` says how many parts there are, or ``size`` how long each is. ``statistics`` "layer" is this one
    (https://arxiv.org/abs/1803.08494), as RWKV has it, over heads, and Command R+, whose heads of queries and keys have
    scales of their own; "rms" leaves out the mean, as Mamba-2 does. ``bias`` says whether b exists.
    """

    groups: int | None = None
    size: int | None = None
    epsilon: float
    bias: bool
    statistics: Literal["layer", "rms"] = "layer"

    def check(self) -> None:
        self.require((self.groups is None) != (self.size is None), "groups", "or size must be given, not both")
        self.require(self.groups is None or self.groups > 0, "groups", "must be > 0")
        self.require(self.size is None or self.size > 0, "size", "must be > 0")
        self.require(self.epsilon >= 0, "epsilon", "must be ≥ 0")

    def params(self, width: int) -> dict[str, Param]:
        for name in ("groups", "size"):
            if width % (getattr(self, name) or 1):
                self.fail(name, f"does not divide the width {width}")
        scale = {"scale": Param(shape=(width,), axes="D", init=Ones())}
        return scale | ({"bias": Param(shape=(width,), axes="D", init=Zeros())} if self.bias else {})

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp = ctx.xp
        sizes = {"G": self.groups} if self.groups else {"K": self.size}
        wide = rearrange(upcast(xp, x), "... (G K) -> ... G K", **sizes)
        if self.statistics == "layer":
            wide = wide - xp.mean(wide, axis=-1, keepdims=True)
        wide = wide / xp.sqrt(xp.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon)
        y = rearrange(wide, "... G K -> ... (G K)") * xp.astype(m.scale, wide.dtype)
        return xp.astype(y + xp.astype(m.bias, y.dtype) if self.bias else y, x.dtype)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(groups=4, epsilon=1e-3, bias=True)),
            Example(spec=cls(groups=2, epsilon=1e-2, bias=False, statistics="rms")),
            Example(spec=cls(size=8, epsilon=1e-4, bias=False)),
        ]
