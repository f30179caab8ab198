"""Biases of attention scores by position."""

import math
from typing import Any, ClassVar

import numpy as np

from archlab.config import Config
from archlab.inits import Init
from archlab.ops import angles, upcast
from archlab.spec import Cost, Example, Param, Parts, Spec


class PositionBias(Spec):
    """A part that maps (heads, ctx, key positions (B, S)) to a bias (B, H, T, S) of the scores."""

    abstract = True

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.attention import attention_example

        return [attention_example(score_bias=spec) for spec in cls.variants()]

    @classmethod
    def variants(cls) -> list["PositionBias"]:
        return []


class ALiBi(PositionBias):
    """bias_h = −slope_h · |t − s|, slope_h = 2^(−slope_range · h/H) for h = 1 … H  (https://arxiv.org/abs/2108.12409).

    For a number of heads that is no power of two the slopes are those of the next lower power, then every
    second one of the next higher, as in the authors' code. The paper's ``slope_range`` is 8.
    """

    slope_range: float = 8.0

    def check(self) -> None:
        self.require(self.slope_range > 0, "slope_range", "must be > 0")

    def slopes(self, heads: int) -> np.ndarray:
        """(H,) float64."""
        low = 2 ** int(math.log2(heads))
        slopes = 2.0 ** (-self.slope_range * np.arange(1, low + 1, dtype=np.float64) / low)
        extra = 2.0 ** (-self.slope_range * np.arange(1, 2 * low + 1, 2, dtype=np.float64) / (2 * low))
        return np.concatenate([slopes, extra[: heads - low]])

    def forward(self, m: Any, heads: int, ctx: Any, key_positions: Any, like: Any) -> Any:
        distance = ctx.xp.abs(ctx.positions[:, :, None] - key_positions[:, None, :])
        return -ctx.xp.permute_dims(angles(ctx, distance, self.slopes(heads), like), (0, 3, 1, 2))

    @classmethod
    def variants(cls) -> list[PositionBias]:
        return [cls(), cls(slope_range=4.0)]


class RelativeBias(PositionBias):
    """T5's learned bias of bucketed distances (https://arxiv.org/abs/1910.10683): bias = E[bucket(s − t), h].

    Half of the ``buckets`` (of each direction's share, where ``bidirectional``) hold one distance each; the
    others grow logarithmically up to ``max_distance``, beyond which all distances share the last one.
    """

    heads: int
    buckets: int
    max_distance: int
    bidirectional: bool
    init: Init
    edges: ClassVar[tuple[int, ...]]

    def check(self) -> None:
        self.require(self.heads > 0, "heads", "must be > 0")
        self.require(self.buckets >= 4 and self.buckets % 2 == 0, "buckets", "must be even and ≥ 4")
        exact = self.buckets // (4 if self.bidirectional else 2)
        self.require(self.max_distance > exact, "max_distance", f"must exceed the {exact} exact buckets")
        # Once and on the host: in forward a compiler would have to trace what depends on its values.
        object.__setattr__(self, "edges", self._edges(self.buckets // 2 if self.bidirectional else self.buckets))

    def params(self, width: int) -> dict[str, Param]:
        return {"table": Param(shape=(self.buckets, self.heads), axes="J H", init=self.init, fan_in=1)}

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def bucket(self, xp: Any, offset: Any) -> Any:
        """The bucket of s − t, integers of any shape."""
        buckets = self.buckets // 2 if self.bidirectional else self.buckets
        side = xp.where(offset > 0, buckets, 0) if self.bidirectional else 0 * offset
        distance = xp.abs(offset) if self.bidirectional else xp.where(offset > 0, 0, -offset)
        far = sum((xp.astype(distance >= edge, offset.dtype) for edge in self.edges), start=0 * offset)
        exact = buckets // 2
        return side + xp.where(distance < exact, distance, exact - 1 + far)

    def _edges(self, buckets: int) -> tuple[int, ...]:
        """The least distance of each logarithmic bucket, with T5's rounding in float32."""
        exact = buckets // 2
        distance = np.arange(exact, self.max_distance + 1)
        ratio = np.log((distance / exact).astype(np.float32)) / np.float32(math.log(self.max_distance / exact))
        index = np.minimum((ratio * np.float32(buckets - exact)).astype(np.int64), buckets - exact - 1)
        return tuple(int(distance[index >= i][0]) for i in range(buckets - exact) if (index >= i).any())

    def forward(self, m: Any, heads: int, ctx: Any, key_positions: Any, like: Any) -> Any:
        offset = key_positions[:, None, :] - ctx.positions[:, :, None]
        bias = upcast(ctx.xp, m.table)[self.bucket(ctx.xp, offset)]
        return ctx.xp.permute_dims(ctx.xp.astype(bias, like.dtype), (0, 3, 1, 2))

    @classmethod
    def variants(cls) -> list[PositionBias]:
        from archlab.inits import Normal

        init = Normal(std=1.0)
        return [
            cls(heads=4, buckets=8, max_distance=20, bidirectional=False, init=init),
            cls(heads=4, buckets=12, max_distance=9, bidirectional=True, init=init),
        ]


class PublishedBias(PositionBias):
    """``bias``, left under ``name`` for the layers that come later in the stack (T5's first layer)."""

    name: str
    bias: PositionBias

    def represents(self) -> Config:
        return self.bias.represents()

    def parts(self, width: int) -> Parts:
        return {"bias": self.bias.at(width)}

    def forward(self, m: Any, heads: int, ctx: Any, key_positions: Any, like: Any) -> Any:
        bias = m.bias(heads, ctx, key_positions, like)
        ctx.publish(self.name, bias)
        return bias

    @classmethod
    def examples(cls) -> list[Example]:
        return [reuse_example()]


class ReusedBias(PositionBias):
    """The bias that an earlier layer has published under ``name``: it is computed once (T5's other layers)."""

    name: str

    def forward(self, m: Any, heads: int, ctx: Any, key_positions: Any, like: Any) -> Any:
        return ctx.read(self.name, m.path)

    @classmethod
    def examples(cls) -> list[Example]:
        return [reuse_example()]


def reuse_example() -> Example:
    """A first layer with a bias, which two more use."""
    from archlab.block import Block
    from archlab.mixers.attention import attention_example
    from archlab.norms import RMSNorm
    from archlab.residuals import PreNorm
    from archlab.stack import Stack

    own = PublishedBias(name="bias", bias=RelativeBias.variants()[0])
    residual = PreNorm(norm=RMSNorm(epsilon=1e-2))
    first, later = (
        Block(mixer=attention_example(score_bias=bias).spec, residual=residual)  # type: ignore[arg-type]
        for bias in (own, ReusedBias(name="bias"))
    )
    return Example(spec=Stack(first=(first,), pattern=(later,), repeat=2))
